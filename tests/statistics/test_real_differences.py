"""Which differences of two runs are called real: fake ones are, chance is not, and few images decide nothing."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hardedge.contracts import EngineDifference
from hardedge.statistics.two_runs import real_differences

NAMES = ("road", "pole", "sign")
Counts = np.ndarray


def hits(images: int, seed: int, right: tuple[float, float, float] = (0.9, 0.5, 0.6)) -> Counts:
    """Pixels hit, labelled and predicted of three classes, int64 [N, 3, 3]; labels are those of every seed."""
    labelled_NC = np.random.default_rng(99).integers(200, 400, (images, 3))
    rng = np.random.default_rng(seed)
    hit_NC = rng.binomial(labelled_NC, np.clip(right + rng.normal(0, 0.05, (images, 3)), 0, 1))
    return np.stack((hit_NC, labelled_NC, labelled_NC), axis=-1)


def compared(a_NC3: Counts, b_NC3: Counts) -> EngineDifference:
    return real_differences(a_NC3, b_NC3, NAMES, ("a", "b"))


def statuses(found: EngineDifference) -> list[str]:
    return [found.miou.status, *(row.status for row in found.per_class)]


def test_equal_runs_are_equal_and_nothing_is_tested() -> None:
    found = compared(hits(20, 1), hits(20, 1))
    assert statuses(found) == ["equal"] * 4
    assert found.tested == 0
    assert {row.p for row in found.per_class} == {None}
    assert (found.miou.difference, found.miou.interval.low, found.miou.interval.high) == (0, 0, 0)


def test_a_fake_loss_is_found_in_its_class_alone() -> None:
    a_NC3, b_NC3 = hits(60, 1), hits(60, 2, (0.9, 0.44, 0.6))
    b_NC3[:, 0] = a_NC3[:, 0]
    found = compared(a_NC3, b_NC3)
    assert statuses(found) == ["worse", "equal", "worse", "undecided"]
    assert found.tested == 2
    assert [row.images for row in found.per_class] == [0, 60, pytest.approx(59, abs=1)]
    pole = found.per_class[1]
    hit, labelled, predicted = (a_NC3[:, 1].sum(0), b_NC3[:, 1].sum(0))[0]
    assert pole.a == pytest.approx(100 * hit / (labelled + predicted - hit))
    assert pole.difference == pytest.approx(pole.b - pole.a)
    assert pole.interval.low < pole.difference < pole.interval.high < 0
    assert found.miou.difference == pytest.approx(np.mean([row.difference for row in found.per_class]))


def test_turned_round_the_gain_is_the_loss() -> None:
    one, other = hits(40, 1), hits(40, 2, (0.9, 0.46, 0.6))
    there, back = compared(one, other), compared(other, one)
    assert statuses(there)[2] == "worse"
    assert statuses(back)[2] == "better"
    for row, turned in zip((there.miou, *there.per_class), (back.miou, *back.per_class), strict=True):
        assert turned.difference == pytest.approx(-row.difference)
        # the same resamples in opposite order: quantiles and ties mirror
        assert turned.interval.low == pytest.approx(-row.interval.high, abs=1e-6)
        assert turned.p == pytest.approx(row.p, abs=1e-6)


def test_four_images_that_differ_decide_nothing_and_five_may() -> None:
    a_NC3 = hits(50, 1)
    for changed, expected in ((4, "undecided"), (12, "worse")):
        b_NC3 = a_NC3.copy()
        b_NC3[:changed, 2, 0] //= 2
        found = compared(a_NC3, b_NC3)
        assert (found.per_class[2].status, found.per_class[2].images) == (expected, changed)
        assert (found.per_class[2].p is None) == (changed < 5)
        assert found.miou.status == expected


def test_a_class_without_labels_has_no_row_of_numbers() -> None:
    a_NC3, b_NC3 = hits(30, 1), hits(30, 2)
    for counts in (a_NC3, b_NC3):
        counts[:, 1] = 0
    b_NC3[:, 1, 2] = 7  # predicted where it is not
    row = compared(a_NC3, b_NC3).per_class[1]
    assert (row.status, row.a, row.difference, row.interval, row.p) == ("not in the labels", None, None, None, None)


@pytest.mark.parametrize("seed", range(12))
def test_the_interval_of_the_miou_leaves_0_out_where_it_is_called_real(seed: int) -> None:
    found = compared(hits(25, seed), hits(25, seed + 100, (0.9, 0.48, 0.59))).miou
    apart = found.interval.low > 0 or found.interval.high < 0
    # one statistic read two ways: they part by less than the resamples' steps, far from the limit they agree
    if abs(found.p - 0.05) > 0.005:
        assert (found.status in ("better", "worse")) == apart


def test_150_classes_can_still_be_told_apart() -> None:
    """With 2000 resamples the smallest p, corrected for 150 classes, would be 0.15."""
    many_NC3 = np.tile(hits(40, 1), (1, 50, 1))
    other_NC3 = many_NC3.copy()
    other_NC3[:, 7, 0] //= 3
    other_NC3[:, np.arange(150) != 7, 0] -= 1
    found = real_differences(many_NC3, other_NC3, ["x"] * 150, ("", ""))
    assert found.tested == 150
    assert found.per_class[7].status == "worse"


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdicts", Path(__file__).parents[2] / "benchmarks/verdicts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verdicts"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_chance_is_rarely_called_real(simulated: ModuleType) -> None:
    """Runs that are equal in truth: a true error of 5 % gives more than 13 of 120 less than once in a hundred."""
    arms = simulated.population(0.004, 0.03)
    found = [simulated.called_real(arms, 50, seed, swapped=True) for seed in range(120)]
    assert sum(miou for miou, _ in found) <= 13
    assert sum(classes for _, classes in found) <= 13
