"""What the verify stage runs: each engine's parity, batches, latency and precision on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hardedge.console import note, spinner
from hardedge.contracts import Consistency, Engine, Gate, Latency, Parity, PrecisionAudit, Task
from hardedge.data.dataset import Dataset
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.overhead import measure_latency
from hardedge.deploy.parity import compare as parities
from hardedge.deploy.parity.batch_slots import check_batch_slots
from hardedge.deploy.parity.compare import OpenEngine
from hardedge.deploy.parity.confusions import Confusions, sparse_confusions
from hardedge.deploy.parity.image_sizes import check_image_sizes
from hardedge.deploy.parity.network_masks import NetworkMasks
from hardedge.deploy.parity.stable_pixels import StableProbe, open_stable_probe
from hardedge.deploy.report.gallery import Gallery, Shot
from hardedge.deploy.runner import Runner
from hardedge.deploy.verification.inputs import VerifyInputs
from hardedge.deploy.verification.precision_audit import audit_layers, audit_onnx
from hardedge.errors import Unavailable
from hardedge.graphs.pinning import pin_to_fp32
from hardedge.metrics import Counts, hit_labelled_predicted, iou_of_parts
from hardedge.statistics.unseen import MAX_UNSEEN

if TYPE_CHECKING:
    from hardedge.deploy.report.pictures import SamplePictures

LOWEST = 3  # classes of which the worst image is shown

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Runs:
    """What the engines that run here gave; `checked` are gates that every engine has to pass, asked for or not.

    Those are the golden images, where there is no data set; `consistency` makes gates too. `counts` are those of each
    run of `parity`, int64 [n, C, 3], `confusions` which class it took for which; `broken_off` are engines whose device
    was lost while they ran, with the reason; `not_run` says for each engine's directory why it did not run on this
    machine.
    """

    parity: tuple[Parity, ...]
    latency: tuple[Latency, ...]
    audits: tuple[PrecisionAudit, ...]
    checked: tuple[Gate, ...]
    samples: tuple[SamplePictures, ...]
    shots: tuple[Shot, ...]
    broken_off: tuple[str, ...]
    counts: tuple[Counts, ...]
    confusions: tuple[Confusions, ...]
    not_run: Mapping[Path, str]
    consistency: tuple[Consistency, ...]


def run_all(inputs: VerifyInputs, seconds: float, max_unseen: float = MAX_UNSEEN) -> Runs:
    """Runs every engine that can run here, on the data set or else the golden images; `seconds` are for latency.

    `max_unseen` is that of compare_with_reference.
    """
    with ExitStack() as stack:
        runners, not_run = _runners(stack, inputs)
        opened = {engine.digest: runner for engine, runner in runners}
        lost: list[str] = []
        share = seconds / max(len(runners), 1)
        latencies = _each(runners, lost, lambda *run: _latency(inputs.bundle, run[0], run[1], share))
        audits = _audits(inputs, opened)
        network = NetworkMasks(inputs.bundle)
        if inputs.data is None:
            checked = _each(runners, lost, lambda *run: _replay(inputs.bundle, run[0], run[1]))
            same = _each(runners, lost, lambda *run: _consistency(inputs.bundle, run[0], run[1], network))
            return Runs((), tuple(latencies), audits, tuple(checked), (), (), tuple(lost), (), (), not_run, tuple(same))
        probe = open_stable_probe(inputs.bundle, {engine.precision for engine, _ in runners})
        engines = [OpenEngine(engine.target, engine.precision, runner) for engine, runner in runners]
        gallery = Gallery(inputs.bundle.manifest.task, len(inputs.bundle.manifest.reference.images))
        found = parities.compare_with_reference(
            inputs.bundle, inputs.data, engines, probe, max_unseen, watch=gallery.see
        )
        lost += [f"{engine}: {run}" for engine, run in zip(engines, found, strict=True) if isinstance(run, str)]
        compared = [run for run in found if not isinstance(run, str)]
        lost += [f"{run.target} {run.precision}: {run.detail}" for run, _ in compared if run.golden_agreement is None]
        whole = [run for run, result in zip(runners, found, strict=True) if _ran_to_its_end(result)]
        same = _each(whole, lost, lambda *run: _consistency(inputs.bundle, run[0], run[1], network))
        samples = _first_samples(inputs, engines, found, probe, gallery.shots)
        counts = tuple(hit_labelled_predicted(counts_NCC) for _, counts_NCC in compared)
        confusions = tuple(sparse_confusions(counts_NCC) for _, counts_NCC in compared)
        parity = tuple(run for run, _ in compared)
        shots = tuple(gallery.shots)
        job = (parity, tuple(latencies), audits, (), samples, shots, tuple(lost), counts, confusions)
        return Runs(*job, not_run, tuple(same))


def _ran_to_its_end(result: tuple[Parity, Counts] | str) -> bool:
    return not isinstance(result, str) and result[0].golden_agreement is not None


def _each(
    runners: list[tuple[Engine, Runner]], lost: list[str], measure: Callable[[Engine, Runner], Measured]
) -> list[Measured]:
    """What is measured of each engine; one whose device is lost, or whose memory runs out, is left out from then on."""
    found = []
    for engine, runner in list(runners):
        try:
            found.append(measure(engine, runner))
        except (Unavailable, MemoryError) as error:
            runners.remove((engine, runner))
            lost.append(f"{engine.target} {engine.precision}: {error or 'out of memory'}")
            note(f"Broken off: {lost[-1]}")
    return found


def _first_samples(
    inputs: VerifyInputs,
    engines: list[OpenEngine],
    compared: list[tuple[Parity, Counts] | str],
    probe: StableProbe | None,
    shots: Sequence[Shot],
) -> tuple[SamplePictures, ...]:
    """Images under the first engine that ran to its end; `shots` tell what the reference and hardness say of them."""
    for engine, found in zip(engines, compared, strict=True):
        if inputs.data and not isinstance(found, str) and _ran_to_its_end(found):
            return _samples(inputs.bundle, inputs.data, engine, found[1], probe, shots)
    return ()


def _runners(stack: ExitStack, inputs: VerifyInputs) -> tuple[list[tuple[Engine, Runner]], dict[Path, str]]:
    runners, missing = [], {}
    for directory, engine in inputs.engines.items():
        try:
            runner = open_runner(directory, inputs.bundle.trust)
        except Unavailable as error:
            missing[directory] = str(error)
            continue
        stack.callback(runner.close)
        runners.append((engine, runner))
    if missing:
        names = ", ".join(inputs.engines[directory].target for directory in missing)
        note(f"Not run on this machine: {names}. {next(iter(missing.values()))}")
    return runners, missing


def _latency(bundle: OpenBundle, engine: Engine, runner: Runner, seconds: float) -> Latency:
    image_HWC = bundle.golden_image(bundle.manifest.golden[0])
    with spinner(f"latency of {engine.target} {engine.precision}", seconds):
        return measure_latency(runner, engine.target, engine.precision, image_HWC, seconds)


def _audits(inputs: VerifyInputs, runners: Mapping[str, Runner]) -> tuple[PrecisionAudit, ...]:
    """Each engine's precision: from its layers where it runs here and tells them, else from its ONNX file."""
    audits, bundle = [], inputs.bundle.manifest
    for engine in inputs.engines.values():
        file = read_model(inputs.bundle.directory / bundle.model(engine.precision).path)
        model = pin_to_fp32(file, {healed.node for healed in engine.healed}) if engine.healed else file
        runner, size = runners.get(engine.digest), bundle.profile.opt
        layers = runner.layers() if runner else []
        audits.append(audit_layers(layers, model, size, engine) if layers else audit_onnx(model, size, engine))
    return tuple(audits)


def _consistency(bundle: OpenBundle, engine: Engine, runner: Runner, network: NetworkMasks) -> Consistency:
    slots = check_batch_slots(bundle, engine.profiles, runner, engine.precision, network)
    sizes = check_image_sizes(bundle, engine.profiles, runner, engine.precision, network)
    return Consistency(
        target=engine.target,
        precision=engine.precision,
        batches=tuple(slots.batches),
        masks=slots.masks,
        changed=slots.changed,
        agreement=slots.agreement,
        margin=slots.margin,
        allowed=slots.allowed,
        slots_status=slots.status,
        slots_detail=str(slots),
        sizes=tuple(sizes.sizes),
        clear=sizes.clear,
        sizes_status=sizes.status,
        sizes_detail=str(sizes),
    )


def _replay(bundle: OpenBundle, engine: Engine, runner: Runner) -> Gate:
    share = parities.golden_agreement(bundle, runner)
    return Gate(
        name="golden images",
        limit=f"at least {parities.GOLDEN_AGREEMENT:.1%} of the pixels equal",
        found=f"{engine.target} {engine.precision}: {share:.3%} on {len(bundle.manifest.golden)} images",
        status="pass" if share >= parities.GOLDEN_AGREEMENT else "fail",
    )


def _samples(
    bundle: OpenBundle,
    data: Dataset,
    engine: OpenEngine,
    counts_NCC: Counts,
    probe: StableProbe | None,
    shots: Sequence[Shot],
) -> tuple[SamplePictures, ...]:
    from hardedge.deploy.report.pictures import SamplePictures

    samples = []
    for index, why in telling_images(counts_NCC, bundle.manifest.task, shots).items():
        id = bundle.manifest.reference.images[index].id
        image_HWC, truth_HW = data.pair(id)
        prediction_HW = parities.run_mask(engine.runner, image_HWC, id, bundle.manifest.task.num_classes)
        hardness_HW, reference_HW = bundle.hardness(id, truth_HW), bundle.reference_mask(id, truth_HW)
        stable_HW = probe.of(id, image_HWC).get(engine.precision) if probe else None
        samples.append(
            SamplePictures(id, image_HWC, truth_HW, prediction_HW, hardness_HW, reference_HW, stable_HW, why)
        )
    return tuple(samples)


def telling_images(counts_NCC: Counts, task: Task, shots: Sequence[Shot] = ()) -> dict[int, tuple[str, ...]]:
    """The images that are shown in full, and what each is: ten at most.

    The worst by share of wrong pixels, the worst of each of the three lowest classes, the hardest, the one whose mask
    differs most from the reference's, the median and the first.
    """
    right_N = np.trace(counts_NCC, axis1=1, axis2=2) / np.maximum(counts_NCC.sum((1, 2)), 1)
    worst = np.argsort(right_N, kind="stable").tolist()
    named = [(index, "most pixels wrong") for index in worst[:1]]
    parts_NC3 = hit_labelled_predicted(counts_NCC)
    wrong_NC = parts_NC3[..., 1] + parts_NC3[..., 2] - 2 * parts_NC3[..., 0]
    iou_C = iou_of_parts(parts_NC3.sum(0))
    for index in [each for each in np.argsort(iou_C, kind="stable").tolist() if iou_C[each] < 1][:LOWEST]:
        named.append((int(np.argmax(wrong_NC[:, index])), f"most pixels wrong of {task.classes[index].name}"))
    hardness_N = [shot.hardness or 0.0 for shot in shots]
    differs_N = [shot.differs for shot in shots]
    named += [(int(np.argmax(hardness_N)), "hardest by stored hardness")] if any(hardness_N) else []
    named += [(int(np.argmax(differs_N)), "most pixels unlike the reference's")] if any(differs_N) else []
    named += [(index, "second most pixels wrong") for index in worst[1:2]]
    named += [(worst[len(worst) // 2], "median share of wrong pixels"), (0, "first of the test split")]
    chosen: dict[int, tuple[str, ...]] = {}
    for index, why in named:
        chosen[index] = (*chosen.get(index, ()), why)
    return chosen
