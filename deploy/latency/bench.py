"""`hardedge bench`: how fast engines are on this machine, each alone and side by side."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hardedge.console import note, spinner
from hardedge.contracts import Bench, BenchRun, LatencyComparison, find_profile, profiles_in_words
from hardedge.data.decoding import Pixels
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.bundles.loading import OpenBundle, load_bundle
from hardedge.deploy.engines.build import repeat_build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.dominated import candidates_of_bench, find_dominated
from hardedge.deploy.latency.machine_load import busy_lines, busy_words, watch_load
from hardedge.deploy.latency.memory_process import memory_of
from hardedge.deploy.latency.overhead import percentiles_of
from hardedge.deploy.latency.paired_runs import PAIRS, TooSlow, compare_runners
from hardedge.deploy.latency.sensors import sensor_for, sensor_text, watch_sensor
from hardedge.deploy.provenance import machine_facts
from hardedge.deploy.runner import Parts, Runner
from hardedge.deploy.targets import backend_of
from hardedge.errors import BadInput, Unavailable
from hardedge.metrics import mean_iou
from hardedge.paths import StrPath, local_path

WARM_UP_RUNS = 3
FEWEST_RUNS = 10
BUILDS = 5  # of a TensorRT arm: its builds of one network differ


@dataclass(frozen=True)
class BenchArm:
    """A target and a precision with its engine directories: several builds where TensorRT's vary."""

    target: str
    precision: str
    engines: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.target} {self.precision}"

    def opener(self) -> Callable[[], Runner]:
        """Opens the builds in turn, a new session each time."""
        turns = itertools.cycle(self.engines)
        return lambda: open_runner(next(turns))


def bench(
    bundle: StrPath,
    pairs: Sequence[tuple[str, str]],
    *,
    seconds: float,
    batch: int = 1,
    request: BuildRequest | None = None,
) -> Bench:
    """Builds an engine for each target and precision, times each, and compares every other with the first.

    A golden image, batched, is the input; half of `seconds` goes to the engines alone, half to the comparisons, ABBA
    interleaved. Engines that cannot run here are told and left out. Raises Unavailable when none can, BadInput for a
    batch that no profile of the bundle holds.
    """
    bundle = local_path(bundle)
    opened = load_bundle(bundle)
    opened.check()
    source = opened.manifest
    images_BHWC = np.repeat(opened.golden_image(source.golden[0])[None], batch, axis=0)
    _, height, width, _ = images_BHWC.shape
    if find_profile(source.profiles, (batch, height, width)) is None:
        known = profiles_in_words(source.profiles)
        raise BadInput(
            f"--batch {batch}: no profile holds {batch}x{height}x{width}. The bundle has: {known}. Give one of these."
        )
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        arms = _arms(bundle, pairs, Path(folder), request or BuildRequest())
        runs = tuple(
            replace(_time_arm(arm, images_BHWC, seconds / 2 / len(arms)), miou=miou_of(opened, arm.precision))
            for arm in arms
        )
        shares = seconds / 2 / max(len(arms) - 1, 1)
        comparisons = [_compare_arms(arms[0], other, images_BHWC, shares) for other in arms[1:]]
    found = Bench(
        bundle=source.digest,
        runs=runs,
        comparisons=tuple(comparison for comparison in comparisons if comparison),
        machine=machine_facts(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return replace(found, dominated=tuple(find_dominated(candidates_of_bench(found)).values()))


def _arms(bundle: Path, pairs: Sequence[tuple[str, str]], folder: Path, request: BuildRequest) -> list[BenchArm]:
    arms: list[BenchArm] = []
    missing: list[str] = []
    for target, precision in pairs:
        count = BUILDS if backend_of(target).builds_differ else 1
        paths = [folder / f"{len(arms)}-{target.replace(':', '-')}-{precision}-{number}" for number in range(count)]
        try:
            for _ in repeat_build(bundle, target, paths, precision=precision, request=request):
                pass
            open_runner(paths[0]).close()
        except Unavailable as error:
            missing.append(f"{target} {precision}: {error}")
            continue
        arms.append(BenchArm(target, precision, tuple(paths)))
    if not arms:
        raise Unavailable("nothing to time on this machine:\n" + "\n".join(f"  {reason}" for reason in missing))
    if missing:
        note("Not run on this machine: " + "; ".join(missing))
    return arms


def _time_arm(arm: BenchArm, images_BHWC: Pixels, seconds: float) -> BenchRun:
    memory, gpu = memory_of(arm.engines[0], images_BHWC.shape)
    with spinner(f"timing {arm}", seconds), closing(arm.opener()()) as runner:
        for _ in range(WARM_UP_RUNS):
            runner.parts(images_BHWC)
        parts_N3: list[Parts] = []
        with watch_load() as others, watch_sensor(sensor_for(arm.target)) as watch:
            until = time.perf_counter() + seconds
            while len(parts_N3) < FEWEST_RUNS or time.perf_counter() < until:
                parts_N3.append(runner.parts(images_BHWC))
    run, sensors = _run(arm, images_BHWC, np.array(parts_N3), memory, gpu), watch.summary()
    energy = None if sensors.power is None else sensors.power / run.images_per_second
    if busy := busy_words(others.load):
        note(f"{arm}: its times may be too long: {busy}.")
    return replace(run, energy=energy, sensors=sensors, load=others.load)


def _run(
    arm: BenchArm, images_BHWC: Pixels, parts_N3: npt.NDArray[np.float64], memory: int | None, gpu: int | None
) -> BenchRun:
    times_N = 1000 * parts_N3.sum(1)
    copy_in, compute, copy_out = (1000 * float(np.median(part_N)) for part_N in parts_N3.T)
    p50, p90, p99 = percentiles_of(times_N)
    batch, height, width = images_BHWC.shape[:3]
    return BenchRun(
        target=arm.target,
        precision=arm.precision,
        batch=batch,
        size=(height, width),
        runs=len(times_N),
        p50=p50,
        p90=p90,
        p99=p99,
        images_per_second=1000 * batch * len(times_N) / float(times_N.sum()),
        copy_in=copy_in,
        compute=compute,
        copy_out=copy_out,
        memory=memory,
        gpu_memory=gpu,
        engine_bytes=sum(path.stat().st_size for path in arm.engines[0].glob("model.*")),
    )


def _compare_arms(base: BenchArm, other: BenchArm, images_BHWC: Pixels, seconds: float) -> LatencyComparison | None:
    arm = f"{other} over {base}"
    try:
        with spinner(f"comparing {arm}", seconds):
            pairs = max(len(base.engines), len(other.engines))
            # each pair of builds of its own, where they vary
            most = pairs if pairs > 1 else PAIRS
            return compare_runners(base.opener(), other.opener(), images_BHWC, seconds, arm=arm, pairs=most)
    except TooSlow as error:
        note(f"{arm}: {error}. Give more --time.")
        return None


def bench_text(found: Bench) -> str:
    """The runs as a table, then the comparisons."""
    head = ("target", "image", "p50", "p90", "p99", "images/s", "copy in", "compute", "copy out", "memory", "GPU", "J")
    rows = [head, *(_row(run) for run in found.runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [
        f"{each.arm}: {each.ratio:.3f} [{each.interval.low:.3f}, {each.interval.high:.3f}], {each.status} "
        f"({each.detail})"
        for each in found.comparisons
    ]
    said = dict.fromkeys(f"Energy of {run.target}: {sensor_text(run.sensors)}" for run in found.runs if run.sensors)
    units = (
        "Milliseconds; memory in MB of a process that only runs it, and of the GPU; J: joules an image, of the device."
    )
    return "\n".join([*lines, *found.dominated, units, *said, *busy_lines(found.runs)])


def miou_of(bundle: OpenBundle, precision: str) -> float | None:
    """The test split's mIoU in percent that export measured of a precision's file; None where it measured none.

    That of FP32 follows from the reference's counts.
    """
    if precision == "fp32":
        return 100 * mean_iou(bundle.counts.sum(0))
    conversions = (model.conversion for model in bundle.manifest.models if model.precision == precision)
    return next((conversion.agreement.miou for conversion in conversions if conversion), None)


def _row(run: BenchRun) -> tuple[str, ...]:
    size = f"{run.batch}x{run.size[0]}x{run.size[1]}"
    times = (f"{value:.2f}" for value in run.percentiles.values())
    parts = (f"{value:.2f}" for value in (run.copy_in, run.compute, run.copy_out))
    memory = ("-" if value is None else f"{value / 1e6:.0f}" for value in (run.memory, run.gpu_memory))
    energy = "-" if run.energy is None else f"{run.energy:.3f}"
    return (f"{run.target} {run.precision}", size, *times, f"{run.images_per_second:.1f}", *parts, *memory, energy)
