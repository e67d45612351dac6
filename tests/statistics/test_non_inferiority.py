"""The verdict on mIoU against loops and by hand, and the corrections of its p-values."""

import numpy as np
import pytest

from hardedge.metrics import hit_labelled_predicted, iou_per_class, mean_iou
from hardedge.statistics.corrections import holm
from hardedge.statistics.non_inferiority import (
    image_contributions,
    miou_difference,
    missing_images,
    non_inferiority_verdict,
)


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
    reference = counts(0, 30, 5)
    found = miou_difference(reference, reference.copy(), margin=0.1)
    assert (found.difference, found.interval.low, found.interval.high, found.status) == (0, 0, 0, "pass")
    assert found.miou == found.miou_reference == pytest.approx(100 * mean_iou(reference.sum(0)))
    assert found.p_worse == (1.0,) * 5


def test_the_contributions_of_the_images_add_up_to_the_difference() -> None:
    reference = counts(0, 20, 4)
    target = with_errors(reference, 0.01)
    target[7:] = reference[7:]
    parts = [hit_labelled_predicted(arm) for arm in (reference, target)]
    added_NC = image_contributions(*parts)
    difference_C = 100 * (iou_per_class(target.sum(0)) - iou_per_class(reference.sum(0)))
    assert added_NC.sum(0) == pytest.approx(difference_C)
    assert not added_NC[7:].any()
    assert miou_difference(reference, target, 0.1).difference == pytest.approx(difference_C.mean())


@pytest.mark.parametrize(("share", "status"), [(0.0001, "pass"), (0.02, "fail")])
def test_small_and_large_losses_are_told_apart(share: float, status: str) -> None:
    reference = counts(3, 40, 6)
    assert miou_difference(reference, with_errors(reference, share), margin=0.1).status == status


def test_few_uneven_images_do_not_decide() -> None:
    reference = counts(3, 40, 3)
    target = reference.copy()
    target[0] = with_errors(reference[:1], 0.03)[0]
    found = miou_difference(reference, target, margin=0.2)
    assert (found.differing, found.status) == (1, "inconclusive")
    assert -0.2 < found.difference < -0.1


def test_an_interval_reaches_no_score_that_there_is_not() -> None:
    reference = counts(3, 40, 3)
    target = reference.copy()
    target[0] = np.roll(reference[0], 1, axis=1)
    found = miou_difference(reference, target, margin=0.2)
    assert found.difference > -10
    assert found.interval.low == -found.miou_reference


@pytest.mark.parametrize("images", [5, 10, 19])
def test_fewer_than_twenty_images_that_differ_pass_nothing(images: int) -> None:
    reference = counts(3, images, 6)
    target = with_errors(reference, 0.0001)
    found = miou_difference(reference, target, margin=0.5, max_unseen=99)
    assert found.interval.low > -0.5
    assert found.status == "inconclusive"
    assert missing_images(images, True, max_unseen=99) == 20 - images


@pytest.mark.parametrize("images", [1, 4])
def test_fewer_than_five_images_that_differ_fail_nothing(images: int) -> None:
    reference = counts(0, images, 3)
    assert miou_difference(reference, with_errors(reference, 0.1), margin=0.1).status == "inconclusive"


@pytest.mark.parametrize(
    ("images", "max_unseen", "status"),
    [(28, 10, "inconclusive"), (29, 10, "pass"), (29, 9, "inconclusive"), (6, 39, "inconclusive"), (6, 40, "pass")],
)
def test_equal_masks_pass_where_little_stays_unseen(images: int, max_unseen: float, status: str) -> None:
    reference = counts(0, images, 3)
    assert miou_difference(reference, reference, margin=0.1, max_unseen=max_unseen).status == status


def test_the_class_that_may_have_lost_most_is_named() -> None:
    reference = counts(5, 60, 5)
    target = reference.copy()
    target[:, 2, 2] -= 40
    target[:, 2, 3] += 40
    worst = miou_difference(reference, target, margin=1.0).worst
    assert worst is not None
    assert worst.index == 2
    assert worst.low < worst.difference < -1


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


def test_a_few_pixels_of_one_image_in_48_do_not_hide_a_pass() -> None:
    """As FP32 does it: 5 of 12,288 pixels in one image, of 48 images with 11 classes."""
    reference = counts(6, 48, 11, wrong=0.02) // 2
    target = reference.copy()
    target[3, 4, 4] -= 5
    target[3, 4, 5] += 5
    found = miou_difference(reference, target, margin=0.1)
    assert (found.status, found.differing) == ("pass", 1)
    assert found.interval.low < 10 * found.difference


def test_a_failing_image_among_fifty_is_not_taken_for_all_that_fail() -> None:
    """A drop of half the margin in one image of 50: the true share of such images may be four times as large."""
    reference = counts(7, 50, 4)
    target = reference.copy()
    target[0] = with_errors(reference[:1], 0.2)[0]
    drop = -miou_difference(reference, target, margin=0.1).difference
    assert miou_difference(reference, target, margin=2 * drop).status == "inconclusive"
