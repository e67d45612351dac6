"""Two arms timed in alternation, block by block."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from hardedge.contracts import LatencyComparison
from hardedge.data.decoding import Pixels
from hardedge.deploy.latency.machine_load import busy_reason, watch_load
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.deploy.runner import Runner
from hardedge.statistics.equivalence import Equivalence, Times, compare_times

PAIRS = 10
FEWEST_PAIRS = 5
OVERTIME = 4.0  # times what was given: how long the fewest pairs may take
WARM_UP_RUNS = 2
SEED = 0  # of the orders of the blocks, with the pair's number

Open = Callable[[], Runner]


@dataclass(frozen=True)
class PairPlan:
    """How one session pair is timed: which arm opens first, for how long, and the seed of its blocks' orders."""

    base_first: bool
    seconds: float
    seed: tuple[int, ...]


@dataclass(frozen=True)
class TimedPair:
    """A session pair's blocks, seconds [blocks, arm, run], and the seconds that opening and timing them took."""

    times: Times
    seconds: float


TimePair = Callable[[Open, Open, Pixels, PairPlan], TimedPair]


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
    open_base: Open,
    open_other: Open,
    images_BHWC: Pixels,
    seconds: float,
    *,
    arm: str,
    pairs: int = PAIRS,
    apart: TimePair | None = None,
) -> LatencyComparison:
    """The equivalence test of any two runners on one batch, within about `seconds`; raises TooSlow as compare.

    `pairs` sessions an arm: as many as it has builds where these vary, so that every pair is of builds of its own.
    `apart` times a pair in a process of its own; without it all share this one, and a speed that it has by chance.
    Inconclusive where other processes keep the machine busy.
    """
    with watch_load() as watch:
        measured = paired_times(open_base, open_other, images_BHWC, seconds, pairs, apart or time_pair)
    result, busy = compare_times(measured), busy_reason(watch.load)
    height, width = images_BHWC.shape[1:3]
    where = "each in a process of its own" if apart else "in one process"
    said = f"{height}x{width}, {len(measured)} session pairs {where}, {result.blocks} blocks, ABBA or BAAB by chance"
    return LatencyComparison(
        arm=arm,
        ratio=result.ratio,
        interval=result.interval,
        status="inconclusive" if busy else result.status,
        detail=said + (f"; {busy}" if busy else _advice(result)),
        sessions=len(measured),
        blocks=result.blocks,
        blocks_to_decide=result.blocks_to_decide,
        processes=len(measured) if apart else 1,
        seed=SEED,
        load=watch.load,
    )


def paired_times(
    open_base: Open,
    open_other: Open,
    images_BHWC: Pixels,
    seconds: float,
    most: int,
    timed: TimePair,
) -> list[Times]:
    """Seconds of blocks, [blocks, arm, run] a session pair; the arm that is created first alternates.

    The fewest pairs may take four times the seconds: fewer of them would say nothing. Raises TooSlow when that does
    not reach for one block each.
    """
    pairs: list[Times] = []
    spent = 0.0
    while len(pairs) < most and spent < (OVERTIME * seconds if len(pairs) < FEWEST_PAIRS else seconds):
        if pairs and FEWEST_PAIRS * spent / len(pairs) > OVERTIME * seconds:
            break
        share = max(seconds - spent, 0) / (most - len(pairs))
        plan = PairPlan(base_first=len(pairs) % 2 == 0, seconds=share, seed=(SEED, len(pairs)))
        pair = timed(open_base, open_other, images_BHWC, plan)
        pairs.append(pair.times)
        spent += pair.seconds
    if len(pairs) < FEWEST_PAIRS:
        needed = FEWEST_PAIRS * spent / max(len(pairs), 1)
        raise TooSlow(f"latency not measured: {needed:.0f} s needed, {seconds:.0f} s given")
    return pairs


def time_pair(open_base: Open, open_other: Open, images_BHWC: Pixels, plan: PairPlan) -> TimedPair:
    """One session pair's blocks; opening it is part of the plan's time.

    A block is ABBA or BAAB by chance: what comes back every fourth run would hit one arm of a fixed order.
    """
    began, rng = time.perf_counter(), np.random.default_rng(plan.seed)
    first, second = (open_base, open_other) if plan.base_first else (open_other, open_base)
    with closing(first()) as one, closing(second()) as two:
        arms = (one, two) if plan.base_first else (two, one)
        for runner in arms * WARM_UP_RUNS:
            runner.masks(images_BHWC)
        blocks: list[Times] = []
        while not blocks or time.perf_counter() < began + plan.seconds:
            blocks.append(_block(arms, images_BHWC, rng.random() < 0.5))
    return TimedPair(np.array(blocks), time.perf_counter() - began)


def _block(arms: tuple[Runner, Runner], images_BHWC: Pixels, base_outside: bool) -> Times:
    """Seconds [arm, run] of ABBA, or of BAAB."""
    outer, inner = (0, 1) if base_outside else (1, 0)
    seconds = np.zeros((2, 2))
    for arm, run in ((outer, 0), (inner, 0), (inner, 1), (outer, 1)):
        seconds[arm, run] = seconds_of(arms[arm], images_BHWC)
    return seconds


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
