"""Paired differences against scipy and chance."""

import numpy as np
import pytest
from scipy import stats

from hardedge.statistics.paired_by_seed import SeedDifference, detectable_effect, paired_difference


def found(ours: list[float], baseline: list[float]) -> SeedDifference:
    difference = paired_difference(ours, baseline)
    assert difference is not None
    return difference


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    ours, baseline = [27.1, 29.4, 28.0], [26.4, 27.9, 27.7]
    expected = stats.ttest_rel(ours, baseline)
    interval = expected.confidence_interval(0.95)
    ours_is = found(ours, baseline)
    assert (ours_is.low, ours_is.high, ours_is.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert (ours_is.verdict, ours_is.pairs) == ("not shown", 3)
    assert found([2.0, 2.1, 2.2], [1.0, 1.0, 1.0]).verdict == "higher"
    assert found([0.0, 0.1, 0.2], [1.0, 1.0, 1.0]).verdict == "lower"


def test_pairs_that_differ_alike_and_those_that_do_not_differ() -> None:
    same, alike = found([1.0, 2.0], [1.0, 2.0]), found([3.0, 4.0], [1.0, 2.0])
    assert (same.mean, same.low, same.high, same.p, same.verdict) == (0, 0, 0, 1, "not shown")
    assert (alike.mean, alike.p, alike.verdict) == (2, 0, "higher")


def test_one_pair_says_nothing() -> None:
    assert paired_difference([1.0], [0.0]) is None


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_the_detectable_effect_is_shown_four_times_in_five(pairs: int) -> None:
    effect = detectable_effect(pairs)
    draws = np.random.default_rng(0).normal(effect / np.sqrt(pairs), 1, (20_000, pairs))
    t = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(pairs))
    shown = (np.abs(t) > stats.t.ppf(0.975, pairs - 1)).mean()
    assert shown == pytest.approx(0.8, abs=0.02)  # seven standard errors of 20,000 draws
