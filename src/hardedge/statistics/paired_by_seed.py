"""What pairs of trainings, one seed each, say about the difference of two ways to train."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from hardedge.contracts import Contract

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class SeedDifference(Contract):
    """Pairs of one seed each: their mean difference, its 95 % interval, and the p-value of no difference.

    `detectable` is the difference that a two-sided paired t-test would show four times out of five, were these pairs'
    spread the true one. Equal pairs differ by exactly 0, with a p-value of 1.
    """

    pairs: int
    mean: float
    low: float
    high: float
    detectable: float
    p: float

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "not shown"


def paired_difference(ours: Sequence[float], baseline: Sequence[float]) -> SeedDifference | None:
    """Ours minus the baseline's scores of the same seeds, with Student's interval; None for fewer than two."""
    differences = np.array(ours) - np.array(baseline)
    count = len(differences)
    if count < 2:
        return None
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    mean, half = float(differences.mean()), error * float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    return SeedDifference(
        pairs=count,
        mean=mean,
        low=mean - half,
        high=mean + half,
        detectable=error * detectable_effect(count),
        p=_p_value(mean, error, count),
    )


def _p_value(mean: float, error: float, count: int) -> float:
    if not error:  # all pairs differ alike
        return float(not mean)
    return 2 * float(stats.t.sf(abs(mean) / error, count - 1))


def detectable_effect(pairs: int) -> float:
    """The true mean, in standard errors, that a two-sided paired t-test at 5 % shows with a power of 80 %."""
    freedom = pairs - 1
    bound = stats.t.ppf((1 + LEVEL) / 2, freedom)

    def lacking(effect: float) -> float:
        # the other tail has no share in a power like this
        return float(stats.nct.sf(bound, freedom, effect)) - POWER

    return float(optimize.brentq(lacking, 0.0, 60.0))
