"""What the verify stage runs: each engine's parity, latency and precision on this machine."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hardedge.console import note, spinner
from hardedge.contracts import Engine, Gate, Latency, Parity, PrecisionAudit
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import read_mask
from hardedge.deploy.bundles.contents import golden_image, stored_hardness
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.overhead import measure_latency
from hardedge.deploy.parity import compare as parities
from hardedge.deploy.parity.stable_pixels import StableMaps, stable_maps
from hardedge.deploy.runner import Runner
from hardedge.deploy.tensorrt.runner import TensorRTRunner
from hardedge.deploy.verification.inputs import VerifyInputs
from hardedge.deploy.verification.precision_audit import audit_layers, audit_onnx
from hardedge.errors import Unavailable
from hardedge.graphs.pinning import pin_to_fp32
from hardedge.metrics import Counts, hit_labelled_predicted
from hardedge.statistics.unseen import MAX_UNSEEN

if TYPE_CHECKING:
    from hardedge.deploy.report.pictures import SamplePictures

    pass

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Runs:
    """What the engines that run here gave; `replayed` are golden images as gates, where there is no data set.

    `counts` are those of each run of `parity`, int64 [n, C, 3]; `broken_off` are engines whose device was lost while
    they ran, with the reason.
    """

    parity: tuple[Parity, ...]
    latency: tuple[Latency, ...]
    audits: tuple[PrecisionAudit, ...]
    replayed: tuple[Gate, ...]
    samples: "tuple[SamplePictures, ...]"
    broken_off: tuple[str, ...] = ()
    counts: tuple[Counts, ...] = ()


def run_all(inputs: VerifyInputs, seconds: float, max_unseen: float = MAX_UNSEEN) -> Runs:
    """Runs every engine that can run here, on the data set or else the golden images; `seconds` are for latency.

    `max_unseen` is that of compare_with_reference.
    """
    with ExitStack() as stack:
        runners = _runners(stack, inputs)
        opened = {engine.digest: runner for engine, runner in runners}
        lost: list[str] = []
        share = seconds / max(len(runners), 1)
        latencies = _each(runners, lost, lambda *run: _latency(inputs, run[0], run[1], share))
        audits = _audits(inputs, opened)
        if inputs.data is None:
            replayed = _each(runners, lost, lambda *run: _replay(inputs, run[0], run[1]))
            return Runs((), tuple(latencies), audits, tuple(replayed), (), tuple(lost))
        stable = stable_maps(inputs.directory, inputs.bundle, inputs.data, {engine.precision for engine, _ in runners})
        compared = _each(runners, lost, lambda *run: _compare(inputs, run[0], run[1], stable, max_unseen))
        lost += [f"{run.target} {run.precision}: {run.detail}" for run, _ in compared if run.golden_agreement is None]
        samples = _first_samples(inputs, runners, compared, stable)
        counts = tuple(hit_labelled_predicted(counts_NCC) for _, counts_NCC in compared)
        return Runs(tuple(run for run, _ in compared), tuple(latencies), audits, (), samples, tuple(lost), counts)


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


def _compare(
    inputs: VerifyInputs, engine: Engine, runner: Runner, stable: Mapping[str, StableMaps], max_unseen: float
) -> tuple[Parity, Counts]:
    assert inputs.data is not None
    maps = stable.get(engine.precision)
    job = (inputs.directory, inputs.bundle, inputs.data, runner, engine.target, engine.precision)
    return parities.compare_with_reference(*job, maps, max_unseen)


def _first_samples(
    inputs: VerifyInputs,
    runners: list[tuple[Engine, Runner]],
    compared: list[tuple[Parity, Counts]],
    stable: Mapping[str, StableMaps],
) -> "tuple[SamplePictures, ...]":
    """Images under the first engine that ran to its end."""
    for (engine, runner), (found, counts_NCC) in zip(runners, compared, strict=True):
        if inputs.data and found.golden_agreement is not None:
            return _samples(inputs, inputs.data, runner, counts_NCC, stable.get(engine.precision))
    return ()


def _runners(stack: ExitStack, inputs: VerifyInputs) -> list[tuple[Engine, Runner]]:
    runners, missing = [], []
    for directory, engine in inputs.engines.items():
        try:
            runner = open_runner(directory, inputs.trust)
        except Unavailable as error:
            missing.append((engine.target, str(error)))
            continue
        stack.callback(runner.close)
        runners.append((engine, runner))
    if missing:
        note(f"Not run on this machine: {', '.join(target for target, _ in missing)}. {missing[0][1]}")
    return runners


def _latency(inputs: VerifyInputs, engine: Engine, runner: Runner, seconds: float) -> Latency:
    image_HWC = golden_image(inputs.directory, inputs.bundle.golden[0])
    with spinner(f"latency of {engine.target} {engine.precision}", seconds):
        return measure_latency(runner, engine.target, engine.precision, image_HWC, seconds)


def _audits(inputs: VerifyInputs, runners: Mapping[str, Runner]) -> tuple[PrecisionAudit, ...]:
    """Each engine's precision: from its layers where it runs in TensorRT here, else from its ONNX file."""
    audits, size = [], inputs.bundle.profile.opt
    for engine in inputs.engines.values():
        file = read_model(inputs.directory / inputs.bundle.model(engine.precision).path)
        model = pin_to_fp32(file, {healed.node for healed in engine.healed}) if engine.healed else file
        runner = runners.get(engine.digest)
        layers = runner.layers() if isinstance(runner, TensorRTRunner) else []
        audits.append(audit_layers(layers, model, size, engine) if layers else audit_onnx(model, size, engine))
    return tuple(audits)


def _replay(inputs: VerifyInputs, engine: Engine, runner: Runner) -> Gate:
    share = parities.golden_agreement(inputs.directory, inputs.bundle, runner)
    return Gate(
        name="golden images",
        limit=f"at least {parities.GOLDEN_AGREEMENT:.1%} of the pixels equal",
        found=f"{engine.target} {engine.precision}: {share:.3%} on {len(inputs.bundle.golden)} images",
        status="pass" if share >= parities.GOLDEN_AGREEMENT else "fail",
    )


def _samples(
    inputs: VerifyInputs, data: Dataset, runner: Runner, counts_NCC: Counts, stable: StableMaps | None
) -> "tuple[SamplePictures, ...]":
    from hardedge.deploy.report.pictures import SamplePictures

    samples = []
    for index in telling_images(counts_NCC):
        id = inputs.bundle.reference.images[index].id
        image_HWC, truth_HW = data.pair(id)
        prediction_HW = parities.run_mask(runner, image_HWC, id, inputs.bundle.task.num_classes)
        hardness_HW = stored_hardness(inputs.directory, id, truth_HW)
        reference_HW = read_mask(inputs.directory / "reference" / "masks" / f"{id}.png")
        stable_HW = stable.of(id) if stable else None
        samples.append(SamplePictures(id, image_HWC, truth_HW, prediction_HW, hardness_HW, reference_HW, stable_HW))
    return tuple(samples)


def telling_images(counts_NCC: Counts) -> list[int]:
    """The first image, the two with the largest share of wrong pixels, and the median one; each once."""
    right = np.trace(counts_NCC, axis1=1, axis2=2) / np.maximum(counts_NCC.sum((1, 2)), 1)
    hardest = np.argsort(right, kind="stable")
    chosen = [0, *hardest[:2].tolist(), int(hardest[len(hardest) // 2])]
    return list(dict.fromkeys(chosen))
