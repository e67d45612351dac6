"""Two arms timed in alternation, block by block."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from hardedge.contracts import LatencyComparison
from hardedge.data.dataset import Pixels
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.deploy.runner import Runner
from hardedge.statistics.equivalence import Equivalence, Times, compare_times

PAIRS = 10


FEWEST_PAIRS = 5


WARM_UP_RUNS = 2


class TooSlow(Exception):
    """The time given does not reach for the fewest session pairs."""


def compare_models(base: Path, other: Path, image_HWC: Pixels, seconds: float, *, arm: str) -> LatencyComparison:
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
    result = compare_times(measured)
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


def _advice(result: Equivalence) -> str:
    if result.status != "inconclusive":
        return ""
    if result.blocks_to_decide is None:
        return "; the ratio lies on the margin: no number of blocks would decide"
    return f"; about {result.blocks_to_decide} blocks, in as many more session pairs, would decide"
