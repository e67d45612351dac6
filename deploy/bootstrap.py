"""Whether a target's mIoU is worse than its reference's: a paired bootstrap over images, pure statistics."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Interval, Verdict
from hardedge.metrics import Counts, iou_per_class, mean_iou

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
ONE_SIDED = 0.05


@dataclass(frozen=True)
class Difference:
    """Target minus reference in percent points: mIoU, its 90 % interval, the verdict, and a p-value a class."""

    miou_reference: float
    miou: float
    difference: float
    interval: Interval
    status: Verdict
    p_worse: tuple[float | None, ...]


def difference(reference_NCC: Counts, target_NCC: Counts, margin: float, seed: int = 0) -> Difference:
    """Non-inferiority of the target's mIoU, from the confusion counts int64 [N, C, C] of both on the same images.

    Images are resampled for both arms together. `pass` when the lower end of the two-sided 90 % interval is above
    -margin points, `fail` when the upper end is below, else `inconclusive`, as is one image alone. Equal counts differ
    by exactly 0. p-values are Holm-corrected; a small one says that the class lost more than the margin.
    """
    weights_RN = _weights(len(reference_NCC), seed)
    resampled_RC = 100 * (_resampled_iou(target_NCC, weights_RN) - _resampled_iou(reference_NCC, weights_RN))
    present = reference_NCC.sum((0, 2)) > 0
    miou_reference, miou = (100 * mean_iou(counts.sum(0)) for counts in (reference_NCC, target_NCC))
    low, high = np.quantile(_mean_present(resampled_RC[:, present]), [ONE_SIDED, 1 - ONE_SIDED]).tolist()
    status = verdict(low, high, margin)
    if len(reference_NCC) == 1 and not np.array_equal(reference_NCC, target_NCC):
        status = "inconclusive"
    return Difference(
        miou_reference=miou_reference,
        miou=miou,
        difference=miou - miou_reference,
        interval=Interval(low=low, high=high, confidence=100 * (1 - 2 * ONE_SIDED)),
        status=status,
        p_worse=_holm(
            [
                _p_worse(column_R, margin) if there else None
                for column_R, there in zip(resampled_RC.T, present, strict=True)
            ]
        ),
    )


def verdict(low: float, high: float, margin: float) -> Verdict:
    """What an interval of a difference in points says about a drop of more than `margin`."""
    if low > -margin:
        return "pass"
    return "fail" if high < -margin else "inconclusive"


def _weights(images: int, seed: int) -> Floats:
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    return drawn.astype(np.float64)


def _resampled_iou(counts_NCC: Counts, weights_RN: Floats) -> Floats:
    """IoU in 0..1 of each class in each resample, [R, C]; NaN where no drawn image has the class."""
    hit_NC = np.diagonal(counts_NCC, axis1=1, axis2=2)
    labelled_NC, predicted_NC = counts_NCC.sum(2), counts_NCC.sum(1)
    # float64 counts are exact to 2^53 pixels
    hit, labelled, predicted = (weights_RN @ part.astype(np.float64) for part in (hit_NC, labelled_NC, predicted_NC))
    return np.where(labelled > 0, hit / np.maximum(labelled + predicted - hit, 1), np.nan)


def _mean_present(values_RC: Floats) -> Floats:
    drawn = np.isfinite(values_RC)
    return np.asarray(np.where(drawn, values_RC, 0).sum(1) / np.maximum(drawn.sum(1), 1))


def _p_worse(differences_R: Floats, margin: float) -> float:
    drawn = differences_R[np.isfinite(differences_R)]
    return float((np.count_nonzero(drawn >= -margin) + 1) / (len(drawn) + 1))


def _holm(p_values: list[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down correction over the p-values that there are."""
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected = list(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        corrected[index] = running
    return tuple(corrected)


def per_class_percent(counts_NCC: Counts) -> list[float | None]:
    """Each class's IoU in percent from summed counts; None where it is not in the labels."""
    return [None if np.isnan(iou) else float(100 * iou) for iou in iou_per_class(counts_NCC.sum(0))]
