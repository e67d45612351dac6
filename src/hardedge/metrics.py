"""Confusion counts and mIoU: the one implementation that every stage uses."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.contracts import SegmentationScore, Task

Counts = npt.NDArray[np.int64]


def confusion_counts(
    prediction_HW: npt.NDArray[np.uint8], label_HW: npt.NDArray[np.uint8], num_classes: int, ignore_index: int = 255
) -> Counts:
    """Counts of (label, prediction) pairs, int64 [C, C]; rows are labels, columns predictions.

    Both arrays are uint8 of one shape; pixels labelled ignore_index are left out. Raises ValueError for other
    types or shapes, and for a value that is neither a class nor ignored.
    """
    if prediction_HW.shape != label_HW.shape:
        raise ValueError(f"prediction is {prediction_HW.shape}, label is {label_HW.shape}")
    if prediction_HW.dtype != np.uint8 or label_HW.dtype != np.uint8:
        raise ValueError(f"expected uint8, got {prediction_HW.dtype} and {label_HW.dtype}")
    pairs = np.left_shift(label_HW, 8, dtype=np.uint16)
    np.bitwise_or(pairs, prediction_HW, out=pairs)
    every = np.bincount(pairs.reshape(-1), minlength=1 << 16).reshape(256, 256)
    every[ignore_index] = 0
    if every[num_classes:].any() or every[:, num_classes:].any():
        raise ValueError(f"a label or a prediction is above the last class {num_classes - 1}")
    return every[:num_classes, :num_classes].astype(np.int64)


def hit_labelled_predicted(counts: Counts) -> Counts:
    """The pixels of each class that are hit, labelled and predicted, int64 [..., C, 3]: all that its IoU needs."""
    return np.stack((np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)), axis=-1)


def iou_of_parts(parts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """IoU of each labelled class in 0..1, float64 [..., C], of hit_labelled_predicted; NaN where no pixel is labelled.

    For differences of two arms on the same labels: the classes that count are then the same in both.
    """
    hit, labelled, predicted = np.moveaxis(parts, -1, 0)
    return np.where(labelled > 0, hit / np.maximum(labelled + predicted - hit, 1), np.nan)


def iou_per_class(counts: Counts) -> npt.NDArray[np.float64]:
    """Intersection over union of each class in 0..1, float64 [..., C]; NaN for a class neither labelled nor predicted.

    A class that is predicted and in no label has 0, as Cityscapes' scripts, mmsegmentation and torchmetrics count.
    """
    hit, labelled, predicted = np.moveaxis(hit_labelled_predicted(counts), -1, 0)
    union = labelled + predicted - hit
    return np.where(union > 0, hit / np.maximum(union, 1), np.nan)


def mean_iou(counts: Counts) -> float:
    """Mean IoU in 0..1 over the classes that are labelled or predicted; NaN when no pixel is labelled."""
    return float(np.nanmean(iou_per_class(counts))) if counts.any() else float("nan")


def score_of(counts: Counts, task: Task) -> SegmentationScore:
    """Counts as mIoU and IoU per class in percent."""
    iou = 100 * iou_per_class(counts)
    named = zip(task.classes, iou, strict=True)
    return SegmentationScore(
        miou=100 * mean_iou(counts),
        per_class={info.name: None if np.isnan(value) else float(value) for info, value in named},
    )


def doubt_of_counts(counts_NCC: Counts) -> str | None:
    """What looks as if the network saw other images or learned nothing; None where nothing does."""
    predicted_NC, labelled_C = counts_NCC.sum(1), counts_NCC.sum((0, 2))
    if np.count_nonzero(labelled_C) < 2:
        return None
    classes = int(np.count_nonzero(predicted_NC.any(0)))
    if classes == 1:
        return "every pixel of every image is predicted as one class"
    if len(predicted_NC) > 1 and (np.count_nonzero(predicted_NC, axis=1) == 1).all():
        return f"every image is predicted as one class throughout ({classes} classes in all)"
    return _near_chance(counts_NCC.sum(0))


def _near_chance(counts_CC: Counts) -> str | None:
    miou, labelled_C = 100 * mean_iou(counts_CC), counts_CC.sum(1)
    # what naming the most frequent class everywhere would score
    chance = 100 * labelled_C.max() / labelled_C.sum() / np.count_nonzero(labelled_C)
    if miou >= 1.2 * chance:
        return None
    return f"mIoU {miou:.2f} % is near that of naming one class everywhere ({chance:.2f} %)"
