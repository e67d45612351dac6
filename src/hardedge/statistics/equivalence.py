"""The equivalence test for latencies: pure statistics, no clock.

Timings of a comparison are one array float64 [blocks, 2, 2] a session pair: arm (base, other), then the two runs of
an ABBA block. The statistic is the ratio of medians (other over base) within a pair, averaged over pairs as logarithms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Interval, Status
from hardedge.statistics.student import student_quantile

Times = npt.NDArray[np.float64]

MARGIN = 0.01
ONE_SIDED = 0.05
RESAMPLES = 2000
WITHIN = 400  # resamples of one session pair's blocks, from which RESAMPLES are drawn


@dataclass(frozen=True)
class Equivalence:
    """A ratio, its 90 % interval, the verdict against +-1 %, and the blocks that would decide an undecided one."""

    ratio: float
    interval: Interval
    status: Status
    blocks: int
    blocks_to_decide: int | None


def compare_times(pairs: Sequence[Times], seed: int = 0) -> Equivalence:
    """Two one-sided 5 % tests by a bootstrap over session pairs, then over the blocks of each.

    `equivalent` when the 90 % interval lies inside +-1 %, `different` when it lies outside, else `inconclusive`.
    """
    ratio = math.exp(float(np.mean([log_ratio(times) for times in pairs])))
    low, high = np.exp(_percentiles(_bootstrap(pairs, np.random.default_rng(seed)), len(pairs)))
    blocks = sum(len(times) for times in pairs)
    status = equivalence_status(float(low), float(high))
    needed = blocks_to_decide(ratio, float(low), float(high), blocks) if status == "inconclusive" else None
    interval = Interval(low=float(low), high=float(high), confidence=100 * (1 - 2 * ONE_SIDED))
    return Equivalence(ratio, interval, status, blocks, needed)


def equivalence_status(low: float, high: float) -> Status:
    """What an interval of the ratio says about +-1 %."""
    if low >= 1 - MARGIN and high <= 1 + MARGIN:
        return "equivalent"
    return "different" if low > 1 + MARGIN or high < 1 - MARGIN else "inconclusive"


def blocks_to_decide(ratio: float, low: float, high: float, blocks: int) -> int | None:
    """Blocks at which the interval, shrinking with their root, would clear the margin; None on the margin itself."""
    reach = max(high - ratio, ratio - low)
    distance = abs(abs(ratio - 1) - MARGIN)
    if distance < MARGIN / 100:
        return None
    return max(blocks + 1, round(blocks * (reach / distance) ** 2))


def log_ratio(times: Times) -> float:
    """The logarithm of the ratio of medians of one session pair."""
    base, other = np.median(times, axis=(0, 2))
    return math.log(other / base)


def _bootstrap(pairs: Sequence[Times], rng: np.random.Generator) -> Times:
    """Resampled statistics [R]: session pairs drawn with replacement, each with a new draw of its blocks."""
    within = np.stack([_resampled_log_ratios(times, rng) for times in pairs])
    drawn = rng.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    replicate = rng.integers(WITHIN, size=drawn.shape)
    return np.asarray(within[drawn, replicate].mean(axis=1))


def _resampled_log_ratios(times: Times, rng: np.random.Generator) -> Times:
    blocks = rng.integers(len(times), size=(WITHIN, len(times)))
    # [arm, resample, run]: runs of a resample in one row, so that one sort gives every median
    runs = np.sort(times.transpose(1, 0, 2)[:, blocks].reshape(2, WITHIN, -1), axis=-1)
    middle = runs.shape[-1] // 2  # the number of runs is even
    base, other = runs[..., middle - 1 : middle + 1].mean(-1)
    return np.asarray(np.log(other / base))


def _percentiles(statistics: Times, pairs: int) -> Times:
    """The interval's ends, widened for few pairs: the expanded percentile interval of Hesterberg (2015), section 5.3.

    A bootstrap over n units is too narrow by sqrt((n - 1) / n), and takes the normal's quantile for Student's.
    """
    spread = math.sqrt(pairs / (pairs - 1)) * student_quantile(1 - ONE_SIDED, pairs - 1)
    tail = NormalDist().cdf(-spread)
    return np.asarray(np.quantile(statistics, [tail, 1 - tail]))
