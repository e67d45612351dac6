"""Parity's statistics against loops, and its pixel counts against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, t

from hardedge.contracts import Interval
from hardedge.deploy.parity.compare import _detail, agreement, boundary_band, images_to_decide
from hardedge.metrics import mean_iou
from hardedge.statistics.bootstrap import MiouDifference, miou_difference, non_inferiority_verdict
from hardedge.statistics.corrections import holm


def counts(seed: int, images: int, classes: int, wrong: float = 0.1) -> np.ndarray:
    """Confusion counts of images with about `wrong` of their pixels wrong."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, int(2000 * wrong / classes) + 1, (images, classes, classes))
    made[:, range(classes), range(classes)] = rng.integers(1500, 2500, (images, classes))
    return made


def with_errors(counts_NCC: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    """Moves about `share` of each class's hits to the next class."""
    rng = np.random.default_rng(seed)
    moved = counts_NCC.copy()
    classes = moved.shape[1]
    for index in range(classes):
        lost = rng.binomial(moved[:, index, index], share)
        moved[:, index, index] -= lost
        moved[:, index, (index + 1) % classes] += lost
    return moved


def test_equal_masks_differ_by_exactly_nothing() -> None:
    reference = counts(0, 20, 5)
    found = miou_difference(reference, reference.copy(), margin=0.1)
    assert (found.difference, found.interval.low, found.interval.high, found.status) == (0, 0, 0, "pass")
    assert found.miou == found.miou_reference == pytest.approx(100 * mean_iou(reference.sum(0)))
    assert found.p_worse == (1.0,) * 5


@pytest.mark.parametrize("images", [12, 60])
def test_the_interval_is_that_of_scipys_bca_bootstrap(images: int) -> None:
    reference = counts(0, images, 4)
    target = with_errors(reference, 0.004)
    target[0] = with_errors(reference[:1], 0.02)[0]  # one harder image: a skewed sum

    def drop(drawn: np.ndarray) -> float:
        return 100 * (mean_iou(target[drawn].sum(0)) - mean_iou(reference[drawn].sum(0)))

    # the level of Hesterberg's widening, which scipy does not have
    reach = np.sqrt(images / (images - 1)) * t.ppf(0.95, images - 1)
    level = 1 - 2 * norm.cdf(-reach)
    theirs = bootstrap(
        (np.arange(images),), drop, vectorized=False, n_resamples=2000, confidence_level=level, method="BCa", rng=7
    ).confidence_interval
    found = miou_difference(reference, target, margin=0.1)
    # two bootstraps of 2000 resamples: their 5 % quantiles scatter by about 4 % of the interval
    width = found.interval.high - found.interval.low
    assert found.interval.low == pytest.approx(theirs.low, abs=0.15 * width)
    assert found.interval.high == pytest.approx(theirs.high, abs=0.15 * width)
    assert found.difference == pytest.approx(drop(np.arange(images)))


@pytest.mark.parametrize(("share", "status"), [(0.0001, "pass"), (0.02, "fail")])
def test_small_and_large_losses_are_told_apart(share: float, status: str) -> None:
    reference = counts(3, 40, 6)
    assert miou_difference(reference, with_errors(reference, share), margin=0.1).status == status


def test_few_uneven_images_do_not_decide() -> None:
    reference = counts(3, 6, 3)
    target = reference.copy()
    target[0] = with_errors(reference[:1], 0.03)[0]
    assert miou_difference(reference, target, margin=0.5).status == "inconclusive"


@pytest.mark.parametrize("images", [1, 4])
def test_fewer_than_five_images_decide_only_when_they_are_equal(images: int) -> None:
    reference = counts(0, images, 3)
    assert miou_difference(reference, with_errors(reference, 0.1), margin=0.1).status == "inconclusive"
    assert miou_difference(reference, reference, margin=0.1).status == "pass"


def test_a_class_that_lost_is_found_and_the_others_are_not() -> None:
    reference = counts(5, 60, 5)
    target = reference.copy()
    lost = target[:, 2, 2] // 50
    target[:, 2, 2] -= lost
    target[:, 2, 3] += lost
    p_worse = miou_difference(reference, target, margin=0.1).p_worse
    assert p_worse[2] is not None
    assert p_worse[2] < 0.01
    assert p_worse[0] == p_worse[1] == p_worse[4] == 1.0


@pytest.mark.parametrize(("images", "shown"), [(4, False), (30, True)])
def test_a_class_that_lost_in_few_images_is_not_blamed(images: int, shown: bool) -> None:
    reference = counts(5, 60, 5)
    target = reference.copy()
    lost = target[:images, 2, 2] // 10
    target[:images, 2, 2] -= lost
    target[:images, 2, 3] += lost
    p_worse = miou_difference(reference, target, margin=0.1).p_worse[2]
    assert p_worse is not None
    assert (p_worse < 0.05) == shown


def test_an_absent_class_has_no_p_value_and_no_part_in_the_mean() -> None:
    reference = np.pad(counts(0, 10, 3), ((0, 0), (0, 1), (0, 1)))
    found = miou_difference(reference, reference, margin=0.1)
    assert found.p_worse[3] is None
    assert found.miou == pytest.approx(100 * mean_iou(reference[:, :3, :3].sum(0)))


def test_holm_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx((0.03, None, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(-0.09, 0.2, "pass"), (-0.1, 0.2, "inconclusive"), (-0.5, -0.11, "fail"), (-0.5, -0.1, "inconclusive")],
)
def test_verdicts_at_the_margin(low: float, high: float, status: str) -> None:
    assert non_inferiority_verdict(low, high, 0.1) == status


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.integers(1, 14))
def test_the_boundary_band_against_a_loop(seed: int, height: int, width: int) -> None:
    label_HW = (np.random.default_rng(seed).random((height, width)) < 0.05).astype(np.uint8)
    band_HW = boundary_band(label_HW)
    for row in range(height):
        for column in range(width):
            near = label_HW[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
            assert band_HW[row, column] == (near != label_HW[row, column]).any() | (near.min() != near.max())


def test_the_band_is_three_pixels_wide_on_each_side() -> None:
    label_HW = np.zeros((20, 20), np.uint8)
    label_HW[:, 10:] = 1
    assert boundary_band(label_HW)[0].nonzero()[0].tolist() == [7, 8, 9, 10, 11, 12]


def test_agreement_counts_by_hand() -> None:
    label_HW = np.array([[0, 0, 1, 1], [0, 255, 1, 1]], np.uint8)
    reference_HW = np.array([[0, 1, 1, 1], [0, 0, 1, 1]], np.uint8)
    mask_HW = np.array([[0, 0, 1, 0], [0, 1, 1, 1]], np.uint8)
    equal, compared = agreement(mask_HW, reference_HW, label_HW, num_classes=3, ignore_index=255)
    # class 0: 2 of 3 labelled, class 1: 3 of 4, class 2: absent; all: 5 of 8; band: the 7 labelled pixels
    assert compared.tolist() == [3, 4, 0, 8, 7]
    assert equal.tolist() == [2, 3, 0, 5, 5]


@pytest.mark.parametrize(
    ("change", "low", "high", "needed"),
    [(0.0, -0.2, 0.2, 200), (-0.5, -0.9, 0.1, 112), (-0.1, -0.4, 0.2, None), (0.0, -0.1001, 0.1, 51)],
)
def test_an_undecided_difference_says_how_many_images_would_decide(
    change: float, low: float, high: float, needed: int | None
) -> None:
    """Twice as near to the margin needs four times the images."""
    interval = Interval(low=low, high=high, confidence=90)
    found = MiouDifference(50.0, 50.0 + change, change, interval, "inconclusive", ())
    assert images_to_decide(found, 0.1, 50) == needed
    said = _detail(found, 0.1, 50)
    assert said.endswith(f"about {needed} like them would" if needed else "no number of images would")
