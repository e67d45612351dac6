"""The export stage: a checkpoint and a data set in, a bundle out."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import onnx

from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.console import note, spinner
from hardedge.contracts import (
    Bundle,
    Calibration,
    Certificate,
    Checkpoint,
    ModelFile,
    Task,
    load,
    seal,
    to_json,
    write_atomically,
)
from hardedge.cyclonedx_json import require_cyclonedx
from hardedge.data.content import require_usable_data
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.data.opening import open_dataset
from hardedge.deploy.parity.subset import compared_ids
from hardedge.errors import BadInput
from hardedge.export.components import with_components
from hardedge.export.graph.agreement import require_agreement
from hardedge.export.graph.form import Form
from hardedge.export.graph.network import load_pixels_to_mask
from hardedge.export.graph.pixels_to_mask import Frontend, PixelsToMask, onnx_from_network, shipped_module, with_facts
from hardedge.export.graph.profiles import profiles_for
from hardedge.export.graph.tensor_frontend import write_tensor_model
from hardedge.export.identity.arms import CertificateArm, Finished, start_arm
from hardedge.export.identity.certificate import compare_files
from hardedge.export.precisions.accuracy import PrecisionReference
from hardedge.export.precisions.calibration import By, calibration_of, golden_ids, write_calibration
from hardedge.export.precisions.convert import require_converter
from hardedge.export.precisions.tiles import Tile
from hardedge.export.precisions.write import Origin, write_precisions
from hardedge.export.reference import (
    GOLDEN,
    copy_hardness_maps,
    require_hardness_maps,
    write_golden,
    write_reference,
)
from hardedge.export.training_record import write_training_curves
from hardedge.graphs.builder_rules import builder_warnings, require_rightly_built
from hardedge.graphs.files import is_large, read_onnx, write_onnx
from hardedge.models import architecture
from hardedge.models.user_network import require_code_allowed
from hardedge.paths import StrPath, local_paths
from hardedge.version import __version__

MODEL, CONTROL = "model.onnx", "control.onnx"


@dataclass(frozen=True)
class Precisions:
    """The precisions to write, FP32 among them or not (it is always written), and how others are calibrated."""

    names: tuple[str, ...] = ("fp32",)
    calibrate_by: By = "stratified"
    calibration_images: int = 32
    calibration_tile: Tile = "auto"

    @property
    def converted(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name != "fp32")


@dataclass(frozen=True)
class Source:
    """What a bundle is made from: checkpoint, the data set that fits it, calibration if any, and the graph's form."""

    directory: Path
    checkpoint: Checkpoint
    dataset: Dataset
    hardness_maps: dict[str, Path]
    calibration: Calibration | None
    form: Form
    network: PixelsToMask
    allow_code: bool


def export(
    checkpoint: StrPath,
    data: StrPath,
    out: StrPath,
    *,
    form: Form | None = None,
    precisions: Precisions = Precisions(),
    frontend: Frontend = "pixels",
    components: bool = False,
    force: bool = False,
    keep_failed: bool = False,
    allow_code: bool = False,
) -> Bundle:
    """Writes the bundle directory: the network as ONNX, its reference and golden masks, its identity certificate.

    Each other precision is one more ONNX file, converted from the FP32 one, with what was measured of it. The frontend
    `tensor` is one more beside these, for other runtimes. A checkpoint whose network is a user's own function, which is
    imported and called, needs `allow_code`. With `components` the bundle lists what it is made of.

    Raises BadInput when checkpoint or data cannot be used or do not fit each other, when the network cannot be
    exported or converted, when the exported file's masks are not torch's, and when `out` exists (unless `force`);
    Unavailable when the disk is full, for other precisions without Model Optimizer, and for components without their
    extra. Nothing is left behind then, or with `keep_failed` what was written before the failure, in OUT.failed.
    """
    checkpoint, data, out = local_paths((checkpoint, data, out))
    require_free(out, force, [checkpoint, data])
    if precisions.converted:
        require_converter()
    if components:
        require_cyclonedx()
    source = open_source(checkpoint, data, form or Form(), precisions, allow_code=allow_code)
    with (
        disk_errors(),
        staged_directory(out, force=force, keep_failed=keep_failed) as directory,
        start_arm(_arm(source, "plain")) as plain,
        _control(source) as control,
    ):
        bundle = write_bundle(source, directory, plain, control, precisions.converted, frontend)
        if not components:
            return bundle
        return with_components(directory, bundle, source.checkpoint, (source.dataset.name, source.dataset.digest()))


def open_source(
    checkpoint: Path, data: Path, form: Form, precisions: Precisions, *, allow_code: bool = False
) -> Source:
    """Reads checkpoint and data set; raises BadInput when one cannot be used or they do not fit each other."""
    manifest = load(Checkpoint, checkpoint)
    require_code_allowed(manifest.network, checkpoint, allowed=allow_code)
    dataset = open_dataset(data)
    require_usable_data(dataset, ("test",))
    require_same_classes(manifest.task, dataset.task, checkpoint, data)
    form = replace(form, profiles=profiles_for(dataset, form.profiles))
    return Source(
        directory=checkpoint,
        checkpoint=manifest,
        dataset=dataset,
        hardness_maps=require_hardness_maps(checkpoint, dataset),
        calibration=_calibration(checkpoint, dataset, precisions, form),
        form=form,
        network=load_pixels_to_mask(checkpoint, manifest, form.network_size, allow_code=allow_code),
        allow_code=allow_code,
    )


def _calibration(checkpoint: Path, dataset: Dataset, precisions: Precisions, form: Form) -> Calibration | None:
    if not precisions.converted:
        return None
    by, count, tile = precisions.calibrate_by, precisions.calibration_images, precisions.calibration_tile
    return calibration_of(checkpoint, dataset, by, count, tile=tile, form=form)


def require_same_classes(trained: Task, given: Task, checkpoint: Path, data: Path) -> None:
    """Raises BadInput with both lists unless class names, their order, and the ignore index are the same."""
    ours, theirs = (([entry.name for entry in task.classes], task.ignore_index) for task in (trained, given))
    if ours != theirs:
        raise BadInput(
            f"{checkpoint} was trained for other classes than {data} has:\n"
            f"  trained: {', '.join(ours[0])} (ignore index {ours[1]})\n"
            f"  data:    {', '.join(theirs[0])} (ignore index {theirs[1]})\n"
            "Give the data that it was trained on, or data with the same classes in the same order."
        )


def _arm(source: Source, kind: Literal["plain", "control"]) -> CertificateArm:
    return CertificateArm(kind=kind, checkpoint=str(source.directory), form=source.form, allow_code=source.allow_code)


def _control(source: Source) -> AbstractContextManager[Finished | None]:
    known = architecture(source.checkpoint.network.name)
    return start_arm(_arm(source, "control")) if known else nullcontext()


def write_bundle(
    source: Source,
    directory: Path,
    plain: Finished,
    control: Finished | None,
    precisions: tuple[str, ...],
    frontend: Frontend,
) -> Bundle:
    """Writes every file of the bundle into the directory, its manifest last."""
    seconds: dict[str, float] = {}
    with _timed_part("onnx", seconds), spinner("ONNX"):
        model = _shipped_model(source)
        _require_convertible(model, precisions)
        require_rightly_built(model, MODEL)
        for warning in builder_warnings(model):
            note(f"{MODEL}: {warning}")
        write_onnx(model, directory / MODEL)
    with _timed_part("reference", seconds):
        reference = write_reference(source.network, source.dataset, directory / "reference")
    copy_hardness_maps(source.hardness_maps, directory / "reference" / "hardness")
    write_training_curves(source.directory, directory)
    golden = golden_ids(source.hardness_maps, GOLDEN)
    images = write_golden(golden, source.dataset, directory / "reference" / "masks", directory / "golden")
    with _timed_part("agreement", seconds), spinner("torch against onnxruntime"):
        agreement = require_agreement(model, source.network, images, source.form)
    tensor = None
    if frontend == "tensor":
        with _timed_part("tensor", seconds), spinner("tensor frontend"):
            facts = partial(with_facts, checkpoint=source.checkpoint, form=source.form)
            tensor = write_tensor_model(source.network, source.form, facts, images, directory)
    with _timed_part("certificate", seconds), spinner("identity certificate"):
        certificate = compare_files(directory / MODEL, plain(), source.form.profiles[0])
    write_atomically(directory / Certificate.FILE, to_json(certificate).encode())
    with _timed_part("control", seconds), spinner("positive control"):
        if control:
            write_onnx(read_onnx(control()), directory / CONTROL)
    level0, level1 = certificate.level0, certificate.level1
    main = ModelFile(path=MODEL, precision="fp32", onnx_digest=level0.shipped_digest, census=level1.shipped)
    with _timed_part("precisions", seconds):
        converted = _write_precisions(source, directory, model, images, main, precisions)
    manifest = Bundle(
        schema_id=Bundle.SCHEMA,
        hardedge=__version__,
        made_from=source.checkpoint.digest,
        files={},
        task=source.checkpoint.task,
        network=source.checkpoint.network,
        normalisation=source.checkpoint.normalisation,
        profiles=source.form.profiles,
        models=(main, *converted),
        control=CONTROL if control else None,
        reference=reference,
        golden=golden,
        hardness=source.checkpoint.hardness,
        loss=source.checkpoint.loss,
        branches=source.checkpoint.branches,
        margin_tolerance=agreement.margin_tolerance,
        logit_difference=agreement.logit_difference,
        seconds=seconds,
        calibration=source.calibration,
        network_size=source.form.network_size,
        tensor=tensor,
    )
    return seal(directory, manifest)


def _shipped_model(source: Source) -> onnx.ModelProto:
    form = source.form
    module = shipped_module(source.network, form.outputs)
    return with_facts(onnx_from_network(module, form.hull(), form.outputs, form.opset), source.checkpoint, form)


def _require_convertible(model: onnx.ModelProto, precisions: tuple[str, ...]) -> None:
    """Raises BadInput for a network whose file the converter, which reads one file, cannot take."""
    if precisions and is_large(model):
        raise BadInput(
            f"the network's weights do not fit in one ONNX file (protobuf ends at 2 GiB), and {', '.join(precisions)} "
            "is converted from one. Export it with --precision fp32, or take a smaller network."
        )


def _write_precisions(
    source: Source,
    directory: Path,
    model: onnx.ModelProto,
    golden: dict[str, Pixels],
    main: ModelFile,
    precisions: tuple[str, ...],
) -> tuple[ModelFile, ...]:
    if source.calibration is None:
        return ()
    origin = Origin(
        fp32=directory / MODEL,
        images=write_calibration(source.calibration, source.dataset, directory / "calibration"),
        profiles=source.form.profiles,
        with_facts=partial(with_facts, checkpoint=source.checkpoint, form=source.form),
    )
    reference = PrecisionReference(
        model=model,
        golden=tuple(golden.values()),
        dataset=source.dataset,
        masks=directory / "reference" / "masks",
        ids=compared_ids(source.dataset.splits["test"], main.census.multiply_adds),
    )
    return write_precisions(origin, precisions, reference, directory)


@contextmanager
def _timed_part(step: str, seconds: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - began
