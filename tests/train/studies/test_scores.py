"""Scores of a network against plain numbers, borders by hand."""

import math

import numpy as np
import pytest

from hardedge.contracts import ClassInfo, Task
from hardedge.train.studies.scores import Counts, border_counts, boundary_f_score, scores_of

TASK = Task(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in "abc"), ignore_index=255)


def halves(column: int) -> np.ndarray:
    """Class 0 to the left of the column, class 1 from there on, 12 x 20; its first row is not labelled."""
    mask_HW = np.zeros((12, 20), np.uint8)
    mask_HW[:, column:] = 1
    return mask_HW


def labelled(mask_HW: np.ndarray) -> np.ndarray:
    label_HW = mask_HW.copy()
    label_HW[0] = 255
    return label_HW


@pytest.mark.parametrize("shift", [0, 1, 3, 4, 7])
def test_borders_count_as_found_within_three_pixels(shift: int) -> None:
    counts = border_counts(halves(10 + shift), labelled(halves(10)), TASK)
    rows = 11  # the unlabelled one has no border
    assert counts[:2, 0].tolist() == counts[:2, 2].tolist() == [rows, rows]
    assert counts[2].tolist() == [0, 0, 0, 0]
    # a class's border is on its own side: both of them move by the shift
    assert counts[:2, 1].tolist() == counts[:2, 3].tolist() == [rows * (shift <= 3)] * 2
    assert boundary_f_score(counts) == pytest.approx(float(shift <= 3))


def test_a_class_that_is_predicted_nowhere_has_a_boundary_score_of_zero() -> None:
    counts = border_counts(np.zeros((12, 20), np.uint8), labelled(halves(10)), TASK)
    assert boundary_f_score(counts) == 0


def test_the_scores_are_those_of_the_counts() -> None:
    counts = Counts(pixels=((6, 2, 0), (1, 3, 0), (0, 0, 0)), borders=((4, 2, 4, 4), (4, 4, 4, 4), (0,) * 4))
    assert scores_of(counts) == pytest.approx(
        {
            "mIoU": 100 * (6 / 9 + 3 / 6) / 2,
            "mean recall": 100 * (6 / 8 + 3 / 4) / 2,
            "boundary F": 100 * (2 * 0.5 / 1.5 + 1) / 2,
        }
    )


def test_without_a_labelled_pixel_there_is_no_score() -> None:
    found = scores_of(Counts(pixels=((0, 0), (0, 0)), borders=((0,) * 4,) * 2))
    assert all(map(math.isnan, found.values()))
