"""Parity's pixel counts against brute force, and its verdict in words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardedge.contracts import Interval, Verdict
from hardedge.deploy.parity.compare import agreement, boundary_band
from hardedge.deploy.parity.detail import images_to_decide, parity_detail, too_few
from hardedge.statistics.non_inferiority import ClassDrop, MiouDifference


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


def found(
    status: Verdict, low: float, high: float, change: float = 0.0, images: int = 50, differing: int = 12
) -> MiouDifference:
    interval, worst = Interval(low=low, high=high, confidence=90), ClassDrop(1, -0.4, -1.25, 0.1, images, differing)
    return MiouDifference(50.0, 50.0 + change, change, interval, status, (), images, differing, (None, worst))


@pytest.mark.parametrize(
    ("change", "low", "high", "needed"),
    [(0.0, -0.2, 0.2, 200), (-0.5, -0.9, 0.1, 112), (-0.1, -0.4, 0.2, None), (0.0, -0.1001, 0.1, 51)],
)
def test_an_undecided_difference_says_how_many_images_would_decide(
    change: float, low: float, high: float, needed: int | None
) -> None:
    """Twice as near to the margin needs four times the images."""
    undecided = found("inconclusive", low, high, change)
    assert images_to_decide(undecided, 0.1, max_unseen=10) == needed
    said = parity_detail(undecided, 0.1, 12, 10)
    assert (f"about {needed} like them would" if needed else "no number of images would") in said


def test_what_these_images_show_and_what_follows_are_two_claims() -> None:
    unseen = "at most 5.8 % of such images can be of a kind that none of these is (95 %)"
    assert parity_detail(found("pass", 0, 0, differing=0), 0.1, 0, 10) == (
        f"no pixel differs on these 50 images; a drop of more than 0.1 points on images like these is excluded (95 %); "
        f"{unseen}"
    )
    differing = parity_detail(found("pass", -0.05, 0.01), 0.1, 12, 10, ("road", "pole"))
    assert differing.startswith("12 of these 50 images differ; a drop of more than 0.1 points")
    assert differing.endswith(f"{unseen}; lowest class: pole -0.40 points, not below -1.25 (95 %)")
    assert "is shown (95 %)" in parity_detail(found("fail", -2, -1, -1.5), 0.1, 50, 10)


@pytest.mark.parametrize(
    ("images", "differing", "max_unseen", "said"),
    [
        (10, 0, 10, "19 more images would, as at most 10 % may stay unseen (--max-unseen)"),
        (10, 3, 30, "10 more images would, as masks that differ need 20"),
        (10, 3, 10, "19 more images would, as at most 10 % may stay unseen (--max-unseen)"),
    ],
)
def test_too_few_images_are_told_how_many_are_missing(
    images: int, differing: int, max_unseen: float, said: str
) -> None:
    few = found("inconclusive", -0.01 * (differing > 0), 0, images=images, differing=differing)
    assert too_few(images, differing > 0, max_unseen) == said
    assert f"is not decided: {said}; at most 25.9 % of such images" in parity_detail(few, 0.1, differing, max_unseen)
