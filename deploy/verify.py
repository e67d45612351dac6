"""The verify stage: every check on a bundle and its engines, and the report."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

import hardedge
from hardedge.artefact import require_free, staged
from hardedge.console import note, waiting
from hardedge.contracts import (
    Bundle,
    Certificate,
    Engine,
    EngineSummary,
    Gate,
    Latency,
    Parity,
    PrecisionAudit,
    Report,
    load,
    seal,
    write_atomically,
)
from hardedge.data.folder import Dataset, open_dataset, read_mask
from hardedge.deploy import parity as parities
from hardedge.deploy.arms import Arms
from hardedge.deploy.audit import audit_layers, audit_onnx
from hardedge.deploy.certificate import recertified
from hardedge.deploy.gates import Gates, judge, verdict
from hardedge.deploy.image_counts import ImageCounts, write_counts
from hardedge.deploy.junit import junit
from hardedge.deploy.machine import machine
from hardedge.deploy.markdown import markdown
from hardedge.deploy.overhead import latency, level2, overhead
from hardedge.deploy.pinned import pinned
from hardedge.deploy.runtime import Runner, TensorRTRunner, open_runner
from hardedge.deploy.signing import Trust
from hardedge.deploy.soundness import read_model, reference_counts, require_sound
from hardedge.deploy.stable import StableMaps, stable_maps
from hardedge.errors import BadInput, MissingHere
from hardedge.metrics import Counts, hit_labelled_predicted

if TYPE_CHECKING:
    from hardedge.deploy.report import Sample

Measured = TypeVar("Measured")

LATENCY_SHARE = 0.2  # of the latency seconds for the engines, the rest for level 2


@dataclass(frozen=True)
class Inputs:
    """A bundle, its engines, and the data set or none: all of them checked."""

    directory: Path
    bundle: Bundle
    engines: dict[Path, Engine]
    data: Dataset | None
    trust: Trust | None


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
    samples: "tuple[Sample, ...]"
    broken_off: tuple[str, ...] = ()
    counts: tuple[Counts, ...] = ()


def verify(
    bundle: Path,
    engines: Sequence[Path],
    data: Path | None,
    out: Path,
    *,
    gates: Gates,
    latency_seconds: float = 30.0,
    trust: Trust | None = None,
    arms: Arms | None = None,
    force: bool = False,
) -> Report:
    """Checks a bundle and its engines on this machine and writes the report to `out`.

    Without `data` only the golden images are replayed, each engine's as a gate, and no verdict is better than
    inconclusive. Engines for other devices are listed, not run. `arms` are builds that level 2 compares. Raises
    BadInput for altered or unrelated inputs.
    """
    require_free(out, force, [bundle, *engines, *([data] if data else [])])
    inputs = _inputs(bundle, engines, data, trust)
    with waiting("certificate"):
        certificate = recertified(bundle, inputs.bundle)
    runs = _run_all(inputs, LATENCY_SHARE * latency_seconds)
    seconds = (1 - LATENCY_SHARE) * latency_seconds
    with waiting("latency: noise floor and positive control", seconds):
        image_HWC = parities.golden_image(bundle, inputs.bundle.golden[0])
        try:
            measured = level2(bundle, inputs.bundle, certificate.level0, image_HWC, seconds, arms)
        except (MissingHere, MemoryError) as error:
            measured = replace(certificate.level2, status="not run here", detail=f"broken off: {error}")
            runs = replace(runs, broken_off=(*runs.broken_off, f"latency test: {error}"))
    report = _report(inputs, replace(certificate, level2=measured), runs, gates)
    reference_NC3 = hit_labelled_predicted(reference_counts(bundle, inputs.bundle))
    counts = ImageCounts(inputs.bundle.reference.images, reference_NC3, runs.counts)
    return _write(report, runs.samples, counts, out, force)


def _inputs(directory: Path, engines: Sequence[Path], data: Path | None, trust: Trust | None) -> Inputs:
    bundle = load(Bundle, directory)
    if trust:
        trust.require(directory, bundle)
        trust = trust.vouching(bundle.files.values())
    require_sound(directory, bundle)
    dataset = open_dataset(data) if data else None
    if dataset:
        parities.require_same_data(bundle, dataset)
    found = {path: _engine_of(directory, bundle, path, trust) for path in engines}
    return Inputs(directory, bundle, found, dataset, trust)


def _engine_of(source: Path, bundle: Bundle, directory: Path, trust: Trust | None) -> Engine:
    engine = load(Engine, directory)
    if trust:
        trust.require_engine(directory, engine)
    if engine.made_from != bundle.digest:
        raise BadInput(f"{directory} was built from another bundle. Build it again from this one: hardedge deploy")
    if engine.onnx_digest != bundle.model(engine.precision).onnx_digest:
        raise BadInput(f"{directory} was built from another ONNX file than the bundle's. Build it again from this one.")
    if engine.builder == "onnxruntime" and not _of_bundle(source, bundle, directory, engine):
        raise BadInput(f"{directory / engine.plan} is not the bundle's ONNX file. Build the engine again.")
    return engine


def _of_bundle(source: Path, bundle: Bundle, directory: Path, engine: Engine) -> bool:
    """Whether a session's file is the bundle's, but for the nodes that were healed."""
    name = bundle.model(engine.precision).path
    if not engine.healed:
        return engine.files[engine.plan] == bundle.files[name]
    from hardedge.canonical import onnx_digest

    expected = pinned(read_model(source / name), {each.node for each in engine.healed})
    return onnx_digest(read_model(directory / engine.plan)) == onnx_digest(expected)


def _run_all(inputs: Inputs, seconds: float) -> Runs:
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
        compared = _each(runners, lost, lambda *run: _compare(inputs, run[0], run[1], stable))
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
        except (MissingHere, MemoryError) as error:
            runners.remove((engine, runner))
            lost.append(f"{engine.target} {engine.precision}: {error or 'out of memory'}")
            note(f"Broken off: {lost[-1]}")
    return found


def _compare(inputs: Inputs, engine: Engine, runner: Runner, stable: Mapping[str, StableMaps]) -> tuple[Parity, Counts]:
    assert inputs.data is not None
    maps = stable.get(engine.precision)
    job = (inputs.directory, inputs.bundle, inputs.data, runner, engine.target, engine.precision)
    return parities.compare(*job, maps)


def _first_samples(
    inputs: Inputs,
    runners: list[tuple[Engine, Runner]],
    compared: list[tuple[Parity, Counts]],
    stable: Mapping[str, StableMaps],
) -> "tuple[Sample, ...]":
    """Images under the first engine that ran to its end."""
    for (engine, runner), (found, counts_NCC) in zip(runners, compared, strict=True):
        if inputs.data and found.golden_agreement is not None:
            return _samples(inputs, inputs.data, runner, counts_NCC, stable.get(engine.precision))
    return ()


def _runners(stack: ExitStack, inputs: Inputs) -> list[tuple[Engine, Runner]]:
    runners, missing = [], []
    for directory, engine in inputs.engines.items():
        try:
            runner = open_runner(directory, inputs.trust)
        except MissingHere as error:
            missing.append((engine.target, str(error)))
            continue
        stack.callback(runner.close)
        runners.append((engine, runner))
    if missing:
        note(f"Not run on this machine: {', '.join(target for target, _ in missing)}. {missing[0][1]}")
    return runners


def _latency(inputs: Inputs, engine: Engine, runner: Runner, seconds: float) -> Latency:
    image_HWC = parities.golden_image(inputs.directory, inputs.bundle.golden[0])
    with waiting(f"latency of {engine.target} {engine.precision}", seconds):
        return latency(runner, engine.target, engine.precision, image_HWC, seconds)


def _audits(inputs: Inputs, runners: Mapping[str, Runner]) -> tuple[PrecisionAudit, ...]:
    """Each engine's precision: from its layers where it runs in TensorRT here, else from its ONNX file."""
    audits, size = [], inputs.bundle.profile.opt
    for engine in inputs.engines.values():
        file = read_model(inputs.directory / inputs.bundle.model(engine.precision).path)
        model = pinned(file, {healed.node for healed in engine.healed}) if engine.healed else file
        runner = runners.get(engine.digest)
        layers = runner.layers() if isinstance(runner, TensorRTRunner) else []
        audits.append(audit_layers(layers, model, size, engine) if layers else audit_onnx(model, size, engine))
    return tuple(audits)


def _replay(inputs: Inputs, engine: Engine, runner: Runner) -> Gate:
    share = parities.golden_agreement(inputs.directory, inputs.bundle, runner)
    return Gate(
        name="golden images",
        limit=f"at least {parities.GOLDEN_AGREEMENT:.1%} of the pixels equal",
        found=f"{engine.target} {engine.precision}: {share:.3%} on {len(inputs.bundle.golden)} images",
        status="pass" if share >= parities.GOLDEN_AGREEMENT else "fail",
    )


def _samples(
    inputs: Inputs, data: Dataset, runner: Runner, counts_NCC: Counts, stable: StableMaps | None
) -> "tuple[Sample, ...]":
    from hardedge.deploy.report import Sample

    samples = []
    for index in telling_images(counts_NCC):
        id = inputs.bundle.reference.images[index].id
        image_HWC, truth_HW = data.pair(id)
        prediction_HW = parities.mask_of(runner, image_HWC, id, inputs.bundle.task.num_classes)
        hardness_HW = parities.stored_hardness(inputs.directory, id, truth_HW)
        reference_HW = read_mask(inputs.directory / "reference" / "masks" / f"{id}.png")
        stable_HW = stable.of(id) if stable else None
        samples.append(Sample(id, image_HWC, truth_HW, prediction_HW, hardness_HW, reference_HW, stable_HW))
    return tuple(samples)


def telling_images(counts_NCC: Counts) -> list[int]:
    """The first image, the two with the largest share of wrong pixels, and the median one; each once."""
    right = np.trace(counts_NCC, axis1=1, axis2=2) / np.maximum(counts_NCC.sum((1, 2)), 1)
    hardest = np.argsort(right, kind="stable")
    chosen = [0, *hardest[:2].tolist(), int(hardest[len(hardest) // 2])]
    return list(dict.fromkeys(chosen))


def _report(inputs: Inputs, certificate: Certificate, runs: Runs, gates: Gates) -> Report:
    bundle = inputs.bundle
    cost = overhead(certificate.level2)
    judged = (*judge(gates, certificate, runs.parity, cost, runs.audits), *runs.replayed)
    return Report(
        schema_id=Report.SCHEMA,
        hardedge=hardedge.__version__,
        made_from=bundle.digest,
        files={},
        verdict=verdict(certificate, runs.parity, judged, runs.broken_off),
        task=bundle.task,
        network=bundle.network,
        loss=bundle.loss,
        branches=bundle.branches,
        hardness=bundle.hardness,
        metrics=bundle.reference.score,
        certificate=certificate,
        parity=runs.parity,
        overhead=cost,
        latency=runs.latency,
        engines=tuple(_summary(directory, engine) for directory, engine in inputs.engines.items()),
        audits=runs.audits,
        gates=judged,
        data=inputs.data.name if inputs.data else "test images not given",
        machine=machine(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        broken_off=runs.broken_off,
    )


def _summary(directory: Path, engine: Engine) -> EngineSummary:
    return EngineSummary(
        target=engine.target,
        precision=engine.precision,
        builder=engine.builder,
        builder_version=engine.builder_version,
        bytes=(directory / engine.plan).stat().st_size,
        sha256=engine.files[engine.plan],
        seconds=engine.seconds,
        healed=engine.healed,
    )


def _write(report: Report, samples: "Sequence[Sample]", counts: ImageCounts, out: Path, force: bool) -> Report:
    from hardedge.deploy.report import html

    with staged(out, force=force) as partial:
        write_atomically(partial / "report.html", html(report, samples).encode())
        write_atomically(partial / "junit.xml", junit(report).encode())
        write_atomically(partial / "summary.md", markdown(report).encode())
        write_counts(counts, partial)
        return seal(partial, report)
