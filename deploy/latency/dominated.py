"""Engines of lower precision that do not pay: no better one of their target is larger or slower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hardedge.contracts import Bench, BenchRun, EngineSummary, Latency, Parity
from hardedge.precisions import PRECISIONS

EQUAL = 0.01  # as much faster is no gain: what the equivalence of two latencies allows too
_ORDER = [each.name for each in PRECISIONS]


@dataclass(frozen=True)
class Candidate:
    """An engine with its mIoU in percent, its bytes, and its time as an interval in any unit that its rivals share."""

    target: str
    precision: str
    miou: float
    bytes: int
    low: float
    high: float

    def gains_over(self, better: Candidate) -> bool | None:
        """Whether it is smaller or faster; None where the intervals do not tell."""
        if self.bytes < better.bytes:
            return True
        if self.high / better.low < 1 - EQUAL:
            return True
        return None if self.low / better.high < 1 - EQUAL else False


def find_dominated(candidates: Sequence[Candidate]) -> dict[tuple[str, str], str]:
    """Target and precision of each engine that is dominated, with the engine that it should give way to, in words."""
    found: dict[tuple[str, str], str] = {}
    for worse, better in _rivals(candidates):
        if worse.gains_over(better) is False:
            found.setdefault(
                (worse.target, worse.precision),
                f"{worse.target} {worse.precision} is dominated by {better.precision}: mIoU {worse.miou:.2f} % against "
                f"{better.miou:.2f} %, {worse.bytes:,} bytes against {better.bytes:,}, and not faster "
                f"(at best {worse.low / better.high:.3f} of its time)",
            )
    return found


def undecided(candidates: Sequence[Candidate]) -> list[str]:
    """Pairs whose intervals do not tell, in words."""
    return [
        f"{worse.target} {worse.precision} against {better.precision}: "
        f"[{worse.low / better.high:.3f}, {worse.high / better.low:.3f}] of its time"
        for worse, better in _rivals(candidates)
        if worse.gains_over(better) is None
    ]


def _rivals(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Candidate]]:
    """Each engine with every one of its target in a higher precision that is no worse."""
    for worse in candidates:
        for better in candidates:
            higher = _ORDER.index(better.precision) < _ORDER.index(worse.precision)
            if higher and better.target == worse.target and better.miou >= worse.miou:
                yield worse, better


def candidates_of_report(
    parity: Sequence[Parity], latency: Sequence[Latency], engines: Sequence[EngineSummary]
) -> list[Candidate]:
    """The engines that ran on the test images and were timed, one after the other: 99 % intervals of their medians."""
    times = {(run.target, run.precision): median_interval(run.samples) for run in latency if run.samples}
    sizes = {(engine.target, engine.precision): engine.bytes for engine in engines}
    keys = [(run.target, run.precision, run.miou) for run in parity]
    return [
        Candidate(target, precision, miou, sizes[target, precision], *times[target, precision])
        for target, precision, miou in keys
        if (target, precision) in times and (target, precision) in sizes
    ]


def candidates_of_bench(found: Bench) -> list[Candidate]:
    """The first engine, and the others by their interleaved comparison with it."""
    intervals = {each.arm: (each.interval.low, each.interval.high) for each in found.comparisons}
    first = found.runs[0]
    ratios = [(run, intervals.get(f"{_name(run)} over {_name(first)}")) for run in found.runs[1:]]
    known = [(first, (1.0, 1.0)), *((run, ratio) for run, ratio in ratios if ratio)]
    return [
        Candidate(run.target, run.precision, run.miou, run.engine_bytes, *ratio)
        for run, ratio in known
        if run.miou is not None
    ]


def _name(run: BenchRun) -> str:
    return f"{run.target} {run.precision}"


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The 99 % interval of a median by order statistics; of few samples, all of them."""
    ordered = np.sort(np.asarray(samples, np.float64))
    half = 2.576 * np.sqrt(len(ordered)) / 2
    low, high = int(np.floor(len(ordered) / 2 - half)), int(np.ceil(len(ordered) / 2 + half))
    return float(ordered[max(low, 0)]), float(ordered[min(high, len(ordered) - 1)])
