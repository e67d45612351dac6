"""A bundle of a network that someone else trained: an ONNX file and labelled data, no checkpoint and no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hardedge.artefact import staged_directory
from hardedge.console import note, progress_bar, spinner
from hardedge.contracts import (
    Bundle,
    Certificate,
    Check,
    Level0,
    Level1,
    Level2,
    ModelFile,
    NetworkSpec,
    Normalisation,
    Profile,
    Reference,
    ReferenceImage,
    seal,
    sha256_of,
    to_json,
    write_atomically,
)
from hardedge.contracts.certificate import NO_CHECKPOINT
from hardedge.data.content import require_usable_data, tell_notes
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.data.opening import open_dataset
from hardedge.data.palette import save_mask
from hardedge.deploy.bundles.trial import require_ends
from hardedge.deploy.bundles.validity import COUNTS, check_model
from hardedge.deploy.foreign.as_given import (
    ReferenceSession,
    Result,
    confidence_map,
    largest_difference,
    prepare_image,
)
from hardedge.deploy.foreign.forms import ForeignForm, OnnxInputSpec, foreign_form, foreign_pixels_to_mask, read_foreign
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.errors import BadInput
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import PROBE, with_logits_output
from hardedge.metrics import confusion_counts, doubt_of_counts, score_of
from hardedge.version import __version__

if TYPE_CHECKING:
    import onnx

SPLIT, MODEL, GOLDEN = "test", "model.onnx", 8
LEAST_AGREEMENT = 0.999  # of the golden pixels: sums in another order may turn a pixel whose scores are equal
MOST_IMAGES_AT_ONCE = 4


def bundle_of_foreign(path: Path, data: Path, out: Path, given: OnnxInputSpec) -> Bundle:
    """Writes the bundle of an ONNX file: pixels in, mask out, reference masks, a certificate that claims nothing.

    The reference is the file as it was given, in FP32 in onnxruntime on the CPU, over the test split. Raises BadInput
    for a file, data, or options that do not fit each other; nothing is left behind then.
    """
    dataset = open_dataset(data)
    require_usable_data(dataset, (SPLIT,))
    tell_notes(dataset)
    model = read_foreign(path)
    form = foreign_form(model, given, dataset.task.num_classes, str(path))
    first = prepare_image(dataset.image(dataset.splits[SPLIT][0]), form)
    require_ends(model, form.input, first, form.output, str(path))
    run = ReferenceSession(model, form, dataset.task.num_classes, str(path))
    with staged_directory(out, force=None) as directory:
        results, reference = _write_reference(run, dataset, directory)
        resized = any(result.resized for result in results.values())
        with spinner("pixels in, mask out"):
            shipped = foreign_pixels_to_mask(model, form, resized)
            write_atomically(directory / MODEL, shipped.SerializeToString(deterministic=True))
            check_model(directory / MODEL)
        golden = tuple(list(results)[:GOLDEN])
        _write_golden(golden, dataset, directory)
        difference = _agreement(directory, dataset, {id: results[id] for id in golden}, str(path))
        profile = _profile(dataset, form)
        return _seal_bundle(path, directory, dataset, form, shipped, profile, reference, golden, difference)


def _write_reference(run: ReferenceSession, dataset: Dataset, directory: Path) -> tuple[dict[str, Result], Reference]:
    """Runs the file over the test split; keeps the results of the golden images, writes masks, hardness and counts."""
    task, folder = dataset.task, directory / "reference"
    (folder / "masks").mkdir(parents=True)
    (folder / "hardness").mkdir()
    golden: dict[str, Result] = {}
    images, counts = [], []
    for id in progress_bar(dataset.splits[SPLIT], "reference masks"):
        image_HWC, label_HW = dataset.pair(id)
        result = run(image_HWC, id)
        if len(golden) < GOLDEN:
            golden[id] = result
        save_mask(result.mask_HW, task, folder / "masks" / f"{id}.png")
        if result.scores_CHW is not None:
            _save_grey(confidence_map(result.scores_CHW), folder / "hardness" / f"{id}.png")
        counts.append(confusion_counts(result.mask_HW, label_HW, task.num_classes, task.ignore_index))
        digests = dataset.fingerprint(id)
        images.append(ReferenceImage(id=id, image_sha256=str(digests[0]), label_sha256=str(digests[1])))
    if not counts or not np.any(counts):
        raise BadInput(f"{dataset.root}, {SPLIT}: no pixel of its masks is labelled. Add labelled images.")
    np.savez_compressed(directory / COUNTS, counts=np.stack(counts))
    score = score_of(np.sum(counts, axis=0), task)
    if doubt := doubt_of_counts(np.stack(counts)):
        note(
            f"{doubt}: the description of the input may be wrong (--mean, --std, --channels, the order of the classes)"
        )
    return golden, Reference(split=SPLIT, images=tuple(images), score=score)


def _save_grey(values_HW: Pixels, path: Path) -> None:
    from PIL import Image

    Image.fromarray(values_HW).save(path)


def _write_golden(ids: Sequence[str], dataset: Dataset, directory: Path) -> None:
    from PIL import Image

    for folder in ("images", "masks"):
        (directory / "golden" / folder).mkdir(parents=True)
    for id in ids:
        Image.fromarray(dataset.image(id)).save(directory / f"golden/images/{id}.png")
        mask = (directory / f"reference/masks/{id}.png").read_bytes()
        write_atomically(directory / f"golden/masks/{id}.png", mask)


def _agreement(directory: Path, dataset: Dataset, results: dict[str, Result], name: str) -> float:
    """The largest difference of the new graph's scores from the file's.

    Raises BadInput where its masks are others, pixels aside whose two best classes have nearly the same score.
    """
    runner = OnnxRuntimeRunner(directory / MODEL)
    differing = ties = pixels = 0
    for id, result in results.items():
        other_HW = runner.masks(dataset.image(id)[None])[0] != result.mask_HW
        tied_HW = _nearly_tied(result)
        differing += int(np.count_nonzero(other_HW & ~tied_HW))
        ties += int(np.count_nonzero(tied_HW))
        pixels += other_HW.size
    if differing > (1 - LEAST_AGREEMENT) * pixels:
        raise BadInput(
            f"{name}: with pixels in and a mask out, {differing / pixels:.2%} of the golden pixels are others than "
            "those of the file as it was given. An operator before or behind the network gives other values in one "
            "graph than in two: give the file without its own pre- and post-processing."
        )
    if ties > pixels // 2:
        note(f"{name}: on {ties / pixels:.0%} of the golden pixels two classes have nearly the same score. Untrained?")
    return _scores_apart(directory, dataset, results)


def _nearly_tied(result: Result) -> npt.NDArray[np.bool_]:
    """Pixels whose two best scores differ by less than 0.1 % of the largest score, bool [H, W]."""
    if result.scores_CHW is None or len(result.scores_CHW) < 2:
        return np.zeros(result.mask_HW.shape, bool)
    second_HW, best_HW = np.partition(result.scores_CHW, -2, axis=0)[-2:]
    return np.asarray(best_HW - second_HW < 1e-3 * np.abs(result.scores_CHW).max())


def _scores_apart(directory: Path, dataset: Dataset, results: dict[str, Result]) -> float:
    import onnx

    scored = {id: result.scores_CHW for id, result in results.items() if result.scores_CHW is not None}
    probe = with_logits_output(onnx.load(directory / MODEL))
    if not scored or probe is None:
        return 0.0
    session = open_session(probe)
    found = [session.run([PROBE], {"image": dataset.image(id)[None]})[0][0] for id in scored]
    return largest_difference(found, list(scored.values()))


def _profile(dataset: Dataset, form: ForeignForm) -> Profile:
    """The sizes of the test images, from the smallest to the largest; batches where the file takes any."""
    shapes = [dataset.image(id).shape[:2] for id in dataset.splits[SPLIT]]
    heights, widths = zip(*shapes, strict=True)
    batch = form.batch or 1
    return Profile(
        min=(batch, min(heights), min(widths)),
        opt=(batch, *Counter(shapes).most_common(1)[0][0]),
        max=(form.batch or MOST_IMAGES_AT_ONCE, max(heights), max(widths)),
    )


def _normalisation(form: ForeignForm) -> Normalisation:
    """In the order RGB, whatever the file's is."""
    if form.channels == "rgb":
        return Normalisation(mean=form.mean, std=form.std)
    (blue, green, red), (blue_std, green_std, red_std) = form.mean, form.std
    return Normalisation(mean=(red, green, blue), std=(red_std, green_std, blue_std))


def _seal_bundle(
    path: Path,
    directory: Path,
    dataset: Dataset,
    form: ForeignForm,
    shipped: onnx.ModelProto,
    profile: Profile,
    reference: Reference,
    golden: tuple[str, ...],
    difference: float,
) -> Bundle:
    from hardedge.graphs.canonical import complexity_of, onnx_digest

    digest, counted = onnx_digest(shipped), complexity_of(shipped, profile.opt)
    unknown = Check(status="not run here", detail=NO_CHECKPOINT)
    certificate = Certificate(
        level0=Level0(
            status="not run here",
            detail=NO_CHECKPOINT,
            shipped_digest=digest,
            plain_digest=None,
            rtx_engines=unknown,
            engines=(),
        ),
        level1=Level1(status="not run here", detail=NO_CHECKPOINT, shipped=counted, plain=None),
        level2=Level2(status="not run here", detail=NO_CHECKPOINT, noise_floor=None, control=None, shipped=None),
    )
    write_atomically(directory / Certificate.FILE, to_json(certificate).encode())
    note(f"{path}: {'pixels' if form.pixels else 'float image'} in, {'scores' if form.scores else 'classes'} out")
    manifest = Bundle(
        schema_id=Bundle.SCHEMA,
        hardedge=__version__,
        made_from=sha256_of(path),
        files={},
        task=dataset.task,
        network=NetworkSpec(name=path.stem, num_classes=dataset.task.num_classes),
        normalisation=_normalisation(form),
        channels=form.channels,
        profiles=(profile,),
        models=(ModelFile(path=MODEL, precision="fp32", onnx_digest=digest, census=counted),),
        control=None,
        reference=reference,
        golden=golden,
        hardness="confidence" if form.scores else "none",
        loss="unknown (trained elsewhere)",
        branches=(),
        margin_tolerance=2 * difference,
        logit_difference=difference,
        seconds={},
    )
    return seal(directory, manifest)
