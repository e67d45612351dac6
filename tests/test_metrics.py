"""Confusion counts and mIoU against loops written from their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardedge.metrics import confusion_counts, hit_labelled_predicted, iou_of_parts, iou_per_class, mean_iou


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_counts_equal_a_loop(seed: int, num_classes: int) -> None:
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, num_classes, (5, 7)).astype(np.uint8)
    label = rng.choice([*range(num_classes), 255], (5, 7)).astype(np.uint8)
    expected = np.zeros((num_classes, num_classes), np.int64)
    for truth, guess in zip(label.flat, prediction.flat, strict=True):
        if truth != 255:
            expected[truth, guess] += 1
    assert np.array_equal(confusion_counts(prediction, label, num_classes), expected)


def test_miou_of_a_case_worked_by_hand() -> None:
    counts = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    # class 0: 6 / (6 + 2 + 1); class 1: 3 / (3 + 1 + 2); class 2 is in no label and no prediction
    assert iou_per_class(counts)[:2] == pytest.approx([6 / 9, 3 / 6])
    assert np.isnan(iou_per_class(counts)[2])
    assert mean_iou(counts) == pytest.approx((6 / 9 + 3 / 6) / 2)


def test_a_predicted_class_without_labels_counts_as_zero() -> None:
    counts = np.array([[2, 0, 2], [0, 4, 0], [0, 0, 0]])
    assert mean_iou(counts) == pytest.approx((2 / 4 + 4 / 4 + 0) / 3)


def test_a_difference_of_two_arms_is_over_the_labelled_classes() -> None:
    """A class that one arm invents would otherwise change the number of classes in its mean alone."""
    counts = np.array([[2, 0, 2], [0, 4, 0], [0, 0, 0]])
    iou_C = iou_of_parts(hit_labelled_predicted(counts))
    assert iou_C[:2] == pytest.approx([2 / 4, 4 / 4])
    assert np.isnan(iou_C[2])


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_miou_is_that_of_torchmetrics(seed: int, num_classes: int) -> None:
    torch, classification = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.classification")
    rng = np.random.default_rng(seed)
    prediction, label = (rng.choice(rng.integers(0, num_classes, 2), (5, 7)).astype(np.uint8) for _ in range(2))
    label[0, :3] = 255
    metric = classification.MulticlassJaccardIndex(num_classes, ignore_index=255, average="macro")
    expected = metric(torch.from_numpy(prediction).long()[None], torch.from_numpy(label).long()[None])
    assert mean_iou(confusion_counts(prediction, label, num_classes)) == pytest.approx(float(expected), abs=1e-6)


def test_nothing_labelled_has_no_miou() -> None:
    assert np.isnan(mean_iou(np.zeros((3, 3), np.int64)))


@pytest.mark.parametrize("wrong", ["label", "prediction", "shape", "dtype"])
def test_values_that_are_no_class_are_refused(wrong: str) -> None:
    prediction, label = np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)
    if wrong == "label":
        label[0, 0] = 7
    elif wrong == "prediction":
        prediction[0, 0] = 3
    elif wrong == "shape":
        label = np.zeros((2, 3), np.uint8)
    else:
        prediction = prediction.astype(np.int64)
    with pytest.raises(ValueError, match=r"above the last class|label is|expected uint8"):
        confusion_counts(prediction, label, 3)
