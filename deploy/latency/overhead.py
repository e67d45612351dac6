"""Level 2 of the certificate: latency, with the noise floor and the positive control beside it; and plain latencies."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Bundle, Latency, LatencyComparison, Level0, Level2, Overhead, Status
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.latency.machine_load import busy_reason
from hardedge.deploy.latency.paired_runs import WARM_UP_RUNS, TooSlow, compare_models, compare_runners, seconds_of
from hardedge.deploy.latency.repeated_builds import RepeatedBuilds
from hardedge.deploy.latency.sensors import sensor_for, watch_sensor
from hardedge.deploy.runner import Runner
from hardedge.statistics.signed import signed_text

STORED_SAMPLES = 500
FEWEST_RUNS = 5
RUNS_FOR_P999 = 6636  # as MLPerf Automotive asks of a 99.9th percentile in SingleStream

IMPLIED = "implied by level 0: both arms are the same bytes"
TOO_NOISY = "this machine is too noisy to see a branch"


def certify_latency(
    opened: OpenBundle,
    level0: Level0,
    image_HWC: Pixels,
    seconds: float,
    arms: RepeatedBuilds | None = None,
) -> Level2:
    """Latency's part of the certificate: the noise floor, the positive control, and the arms where there are both.

    Identical digests imply it: both arms are one file, whose run against itself shows the noise floor only. Where they
    differ, the plain network's builds in `arms` are measured against the shipped one's; without them nothing is.
    """
    identical, bundle = level0.status == "identical", opened.manifest
    told = [_why(level0, arms)]
    floor = control = shipped = None
    model, without = opened.directory / bundle.model("fp32").path, _no_control(bundle)
    share = seconds / (2 + (arms is not None and arms.plain is not None))
    try:
        if seconds > 0:
            floor = _noise_floor(model, image_HWC, share, arms)
        if seconds > 0 and arms and arms.plain:
            shipped = _over_plain(arms, arms.plain, image_HWC, share)
            busy = busy_reason(shipped.load)
            told.append(f"the shipped network over the plain one: {shipped.status}{f' ({busy})' if busy else ''}")
        if seconds > 0 and bundle.control and not without:
            arm = "the network with the faithful branch as an extra output"
            control = compare_models(model, opened.directory / bundle.control, image_HWC, share, arm=arm)
        told.append(_control_detail(without, floor, control))
    except TooSlow as error:
        told.append(f"{error}: give a longer --latency")
    status: Status = "implied" if identical else shipped.status if shipped else "not run here"
    return Level2(status=status, detail="; ".join(told), noise_floor=floor, control=control, shipped=shipped)


def _why(level0: Level0, arms: RepeatedBuilds | None) -> str:
    if level0.status == "identical":
        return IMPLIED
    if arms and arms.plain:
        return f"level 0 is {level0.status}: both arms are measured, {arms}"
    if level0.plain_digest is None:
        return "no checkpoint, so no plain network to measure (--plain FILE.onnx gives one)"
    return "level 0 differs, and the bundle does not hold the plain network to measure (--plain FILE.onnx gives it)"


def _noise_floor(model: Path, image_HWC: Pixels, seconds: float, arms: RepeatedBuilds | None) -> LatencyComparison:
    if arms is None:
        return compare_models(model, model, image_HWC, seconds, arm="the file against itself")
    arm = f"the file against itself, {arms}"
    return compare_runners(arms.first, arms.second, image_HWC[None], seconds, arm=arm, pairs=arms.builds)


def _over_plain(
    arms: RepeatedBuilds, plain: Callable[[], Runner], image_HWC: Pixels, seconds: float
) -> LatencyComparison:
    arm = f"the shipped network over the plain one, {arms}"
    return compare_runners(plain, arms.first, image_HWC[None], seconds, arm=arm, pairs=arms.builds, apart=arms.timed)


def overhead_of(level2: Level2) -> Overhead:
    """What `--max-overhead` is judged by: the shipped network's ratio, or the noise floor where it is implied.

    Nothing, where the shipped network was measured on a machine that was busy.
    """
    floor = level2.noise_floor if level2.status == "implied" else None
    measured = level2.shipped or floor
    if level2.shipped and busy_reason(level2.shipped.load):
        measured = None
    detail = f"{IMPLIED}; the ratio is the noise floor, the file against itself" if floor else level2.detail
    ratio, interval = (measured.ratio, measured.interval) if measured else (None, None)
    return Overhead(ratio=ratio, interval=interval, status=level2.status, detail=detail)


def measure_latency(runner: Runner, target: str, precision: str, image_HWC: Pixels, seconds: float) -> Latency:
    """Latency percentiles of a target, batch 1, copies included; at most 500 runs at even steps are stored."""
    images_BHWC = image_HWC[None]
    for _ in range(WARM_UP_RUNS):
        runner.masks(images_BHWC)
    times: list[float] = []
    with watch_sensor(sensor_for(target)) as watch:
        end = time.perf_counter() + seconds
        while len(times) < FEWEST_RUNS or time.perf_counter() < end:
            times.append(1000 * seconds_of(runner, images_BHWC))
    p50, p90, p99 = percentiles_of(np.array(times))
    height, width = image_HWC.shape[:2]
    return Latency(
        target=target,
        precision=precision,
        size=(height, width),
        runs=len(times),
        p50=p50,
        p90=p90,
        p99=p99,
        samples=tuple(round(value, 4) for value in sample_times(np.array(times))),
        sensors=watch.summary(),
        p999=float(np.percentile(times, 99.9)) if len(times) >= RUNS_FOR_P999 else None,
    )


def percentiles_of(times: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The median, and what 90 % and 99 % of the times are below."""
    p50, p90, p99 = (float(value) for value in np.percentile(times, [50, 90, 99]))
    return p50, p90, p99


def sample_times(times: npt.NDArray[np.float64]) -> list[float]:
    """All the times, or 500 of them at even steps."""
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), STORED_SAMPLES)).astype(int))
    return [float(value) for value in times[chosen]]


def _no_control(bundle: Bundle) -> str | None:
    """Why the bundle has no positive control; None where it has one, a file other than the one that ships."""
    if bundle.control is None:
        return f"no positive control: hardedge has no faithful branch for {bundle.network.name}"
    if bundle.files.get(bundle.control) == bundle.files.get(bundle.model("fp32").path):
        return "no positive control: the bundle's is the file that ships"
    return None


def _control_detail(without: str | None, floor: LatencyComparison | None, control: LatencyComparison | None) -> str:
    """What the control shows: it is seen only where it is slower, and the file against itself did not differ."""
    if without:
        return without
    if floor is None or control is None:
        return "noise floor and positive control not measured: no time was given"
    if floor.status == "different":
        return f"the file against itself came out different: {TOO_NOISY}"
    if control.status == "different" and control.interval.low > 1:
        return (
            f"the positive control is seen: a branch that stays in costs {signed_text(100 * (control.ratio - 1), 1)} %"
        )
    if control.status == "different":
        return "the positive control came out faster than the network without it: it shows nothing here"
    return f"the positive control came out {control.status}: {busy_reason(control.load) or TOO_NOISY}"
