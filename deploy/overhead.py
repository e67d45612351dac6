"""Level 2 of the certificate: latency, with the noise floor and the positive control beside it; and plain latencies."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Bundle, Latency, LatencyComparison, Level0, Level2, Overhead, Status
from hardedge.deploy.arms import Arms
from hardedge.deploy.equivalence import Equivalence, Times, equivalence
from hardedge.deploy.runtime import OnnxRuntimeRunner, Pixels, Runner
from hardedge.deploy.sensors import sensor_for, watched

PAIRS = 10
FEWEST_PAIRS = 5
WARM_UP_RUNS = 2
STORED_SAMPLES = 500
FEWEST_RUNS = 5

IMPLIED = "implied by level 0: both arms are the same bytes"
TOO_NOISY = "this machine is too noisy to see a branch"


class TooSlow(Exception):
    """The time given does not reach for the fewest session pairs."""


def level2(
    directory: Path,
    bundle: Bundle,
    level0: Level0,
    image_HWC: Pixels,
    seconds: float,
    arms: Arms | None = None,
) -> Level2:
    """Latency's part of the certificate: the noise floor, the positive control, and the arms where there are both.

    Identical digests imply it: both arms are one file, whose run against itself shows the noise floor only. Where they
    differ, the plain network's builds in `arms` are measured against the shipped one's; without them nothing is.
    """
    identical = level0.status == "identical"
    told = [_why(level0, arms)]
    floor = control = shipped = None
    model = directory / bundle.model("fp32").path
    share = seconds / (2 + (arms is not None and arms.plain is not None))
    try:
        if seconds > 0:
            floor = _noise_floor(model, image_HWC, share, arms)
        if seconds > 0 and arms and arms.plain:
            shipped = _over_plain(arms, arms.plain, image_HWC, share)
            told.append(f"the shipped network over the plain one: {shipped.status}")
        if seconds > 0 and bundle.control:
            arm = "the network with the faithful branch as an extra output"
            control = compare(model, directory / bundle.control, image_HWC, share, arm=arm)
        told.append(_control_detail(bundle, control, seconds))
    except TooSlow as error:
        told.append(f"{error}: give a longer --latency")
    status: Status = "implied" if identical else shipped.status if shipped else "not run here"
    return Level2(status=status, detail="; ".join(told), noise_floor=floor, control=control, shipped=shipped)


def _why(level0: Level0, arms: Arms | None) -> str:
    if level0.status == "identical":
        return IMPLIED
    if arms and arms.plain:
        return f"level 0 is {level0.status}: both arms are measured, {arms}"
    if level0.plain_digest is None:
        return "no checkpoint, so no plain network to measure (--plain FILE.onnx gives one)"
    return "level 0 differs, and the bundle does not hold the plain network to measure (--plain FILE.onnx gives it)"


def _noise_floor(model: Path, image_HWC: Pixels, seconds: float, arms: Arms | None) -> LatencyComparison:
    if arms is None:
        return compare(model, model, image_HWC, seconds, arm="the file against itself")
    arm = f"the file against itself, {arms}"
    return compare_runners(arms.first, arms.second, image_HWC[None], seconds, arm=arm, pairs=arms.builds)


def _over_plain(arms: Arms, plain: Callable[[], Runner], image_HWC: Pixels, seconds: float) -> LatencyComparison:
    arm = f"the shipped network over the plain one, {arms}"
    return compare_runners(plain, arms.first, image_HWC[None], seconds, arm=arm, pairs=arms.builds)


def overhead(level2: Level2) -> Overhead:
    """What `--max-overhead` is judged by: the shipped network's ratio, or the noise floor where it is implied."""
    floor = level2.noise_floor if level2.status == "implied" else None
    measured = level2.shipped or floor
    detail = f"{IMPLIED}; the ratio is the noise floor, the file against itself" if floor else level2.detail
    ratio, interval = (measured.ratio, measured.interval) if measured else (None, None)
    return Overhead(ratio=ratio, interval=interval, status=level2.status, detail=detail)


def compare(base: Path, other: Path, image_HWC: Pixels, seconds: float, *, arm: str) -> LatencyComparison:
    """The equivalence test of `other` against `base` in onnxruntime on the CPU, batch 1, within about `seconds`.

    Raises TooSlow when that is too short for it.
    """
    open_base, open_other = (partial(OnnxRuntimeRunner, path) for path in (base, other))
    found = compare_runners(open_base, open_other, image_HWC[None], seconds, arm=arm)
    return replace(found, detail=f"onnxruntime on the CPU, {found.detail}")


def compare_runners(
    open_base: Callable[[], Runner],
    open_other: Callable[[], Runner],
    images_BHWC: Pixels,
    seconds: float,
    *,
    arm: str,
    pairs: int = PAIRS,
) -> LatencyComparison:
    """The equivalence test of any two runners on one batch, within about `seconds`; raises TooSlow as compare.

    `pairs` sessions an arm: as many as it has builds where these vary, so that every pair is of builds of its own.
    """
    measured = paired_times(open_base, open_other, images_BHWC, seconds, pairs)
    result = equivalence(measured)
    height, width = images_BHWC.shape[1:3]
    return LatencyComparison(
        arm=arm,
        ratio=result.ratio,
        interval=result.interval,
        status=result.status,
        detail=f"{width}x{height}, {len(measured)} session pairs, {result.blocks} ABBA blocks{_advice(result)}",
        sessions=len(measured),
        blocks=result.blocks,
        blocks_to_decide=result.blocks_to_decide,
    )


def paired_times(
    open_base: Callable[[], Runner],
    open_other: Callable[[], Runner],
    images_BHWC: Pixels,
    seconds: float,
    most: int = PAIRS,
) -> list[Times]:
    """Seconds of ABBA blocks, [blocks, arm, run] a session pair; the arm that is created first alternates.

    Raises TooSlow when the time does not reach for the fewest pairs of one block each.
    """
    began = time.perf_counter()
    pairs: list[Times] = []
    while len(pairs) < most and (now := time.perf_counter()) < began + seconds:
        share = (began + seconds - now) / (most - len(pairs))
        with _pair(open_base, open_other, base_first=len(pairs) % 2 == 0) as (base, other):
            pairs.append(_blocks(base, other, images_BHWC, until=now + share))
    if len(pairs) < FEWEST_PAIRS:
        needed = FEWEST_PAIRS * (time.perf_counter() - began) / max(len(pairs), 1)
        raise TooSlow(f"latency not measured: {needed:.0f} s needed, {seconds:.0f} s given")
    return pairs


@contextmanager
def _pair(
    open_base: Callable[[], Runner], open_other: Callable[[], Runner], base_first: bool
) -> Iterator[tuple[Runner, Runner]]:
    if base_first:
        base, other = open_base(), open_other()
    else:
        other, base = open_other(), open_base()
    try:
        yield base, other
    finally:
        base.close()
        other.close()


def _blocks(base: Runner, other: Runner, images_BHWC: Pixels, until: float) -> Times:
    for runner in (base, other) * WARM_UP_RUNS:
        runner.masks(images_BHWC)
    blocks: list[list[list[float]]] = []
    while not blocks or time.perf_counter() < until:
        a, b, b_again, a_again = (seconds_of(runner, images_BHWC) for runner in (base, other, other, base))
        blocks.append([[a, a_again], [b, b_again]])
    return np.array(blocks)


def seconds_of(runner: Runner, images_BHWC: Pixels) -> float:
    """The seconds of one run."""
    began = time.perf_counter()
    runner.masks(images_BHWC)
    return time.perf_counter() - began


def latency(runner: Runner, target: str, precision: str, image_HWC: Pixels, seconds: float) -> Latency:
    """Latency percentiles of a target, batch 1, copies included; at most 500 runs at even steps are stored."""
    images_BHWC = image_HWC[None]
    for _ in range(WARM_UP_RUNS):
        runner.masks(images_BHWC)
    times: list[float] = []
    with watched(sensor_for(target)) as watch:
        end = time.perf_counter() + seconds
        while len(times) < FEWEST_RUNS or time.perf_counter() < end:
            times.append(1000 * seconds_of(runner, images_BHWC))
    p50, p90, p99 = (float(value) for value in np.percentile(times, [50, 90, 99]))
    height, width = image_HWC.shape[:2]
    return Latency(
        target=target,
        precision=precision,
        size=(height, width),
        runs=len(times),
        p50=p50,
        p90=p90,
        p99=p99,
        samples=tuple(round(value, 4) for value in stored(np.array(times))),
        sensors=watch.summary(),
    )


def stored(times: npt.NDArray[np.float64]) -> list[float]:
    """All the times, or 500 of them at even steps."""
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), STORED_SAMPLES)).astype(int))
    return [float(value) for value in times[chosen]]


def _advice(result: Equivalence) -> str:
    if result.status != "inconclusive":
        return ""
    if result.blocks_to_decide is None:
        return "; the ratio lies on the margin: no number of blocks would decide"
    return f"; about {result.blocks_to_decide} blocks, in as many more session pairs, would decide"


def _control_detail(bundle: Bundle, control: LatencyComparison | None, seconds: float) -> str:
    if seconds <= 0:
        return "noise floor and positive control not measured: no time was given"
    if control is None:
        return f"no positive control: hardedge has no faithful branch for {bundle.network.name}"
    if control.status == "different":
        return f"the positive control is seen: a branch that stays in costs {100 * (control.ratio - 1):+.1f} %"
    return f"the positive control came out {control.status}: {TOO_NOISY}"
