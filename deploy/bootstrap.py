"""Whether a target's mIoU is worse than its reference's: a paired bootstrap over images, pure statistics.

The interval is Efron's BCa (bias-corrected and accelerated; Efron 1987), its level widened for few images as in
Hesterberg (2015, section 5.3): errors crowd on a few hard images, and the plain percentiles of such skewed sums pass a
drop at the margin in 11 % of the trials with 50 images instead of 5 % (docs/verdicts.md).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Interval, Verdict
from hardedge.deploy.equivalence import student_quantile
from hardedge.metrics import Counts, iou_per_class, mean_iou

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
ONE_SIDED = 0.05
FEWEST_IMAGES = 5  # fewer that are not equal decide nothing


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
    -margin points, `fail` when the upper end is below, else `inconclusive`, as are fewer than five images. Equal counts
    differ by exactly 0. p-values are Holm-corrected; a small one says that the class lost more than the margin.
    """
    images, present = len(reference_NCC), reference_NCC.sum((0, 2)) > 0
    resampled_RC = 100 * _differences(reference_NCC, target_NCC, _weights(images, seed))
    without_NC = 100 * _differences_without(reference_NCC, target_NCC)
    miou_reference, miou = (100 * mean_iou(counts.sum(0)) for counts in (reference_NCC, target_NCC))
    mean = _Bca(
        _mean_present(resampled_RC[:, present]), miou - miou_reference, _mean_present(without_NC[:, present]), images
    )
    low, high = mean.quantile(ONE_SIDED), mean.quantile(1 - ONE_SIDED)
    status = verdict(low, high, margin)
    if images < FEWEST_IMAGES and not np.array_equal(reference_NCC, target_NCC):
        status = "inconclusive"
    whole_C = 100 * _differences(reference_NCC, target_NCC, np.ones((1, images)))[0]
    classes = [
        _Bca(resampled_RC[:, index], float(whole_C[index]), without_NC[:, index], images) if there else None
        for index, there in enumerate(present)
    ]
    return Difference(
        miou_reference=miou_reference,
        miou=miou,
        difference=miou - miou_reference,
        interval=Interval(low=low, high=high, confidence=100 * (1 - 2 * ONE_SIDED)),
        status=status,
        p_worse=_holm([each.p_at_least(-margin) if each else None for each in classes]),
    )


def verdict(low: float, high: float, margin: float) -> Verdict:
    """What an interval of a difference in points says about a drop of more than `margin`."""
    if low > -margin:
        return "pass"
    return "fail" if high < -margin else "inconclusive"


class _Bca:
    """The confidence distribution of a statistic from its resampled values and those without one image each.

    Values that are not finite (a class in none of the images that were drawn) are left out.
    """

    def __init__(self, resampled_R: Floats, estimate: float, without_N: Floats, images: int) -> None:
        self.sorted = np.sort(resampled_R[np.isfinite(resampled_R)])
        self.images = images
        self.bias = NormalDist().inv_cdf(self._share_below(estimate))
        pull = without_N[np.isfinite(without_N)]
        pull = pull.mean() - pull if len(pull) else np.zeros(1)
        scale = float((pull**2).sum())
        # no image pulls where all differences are equal
        self.acceleration = float((pull**3).sum()) / (6 * scale**1.5) if scale > 1e-18 else 0.0

    def quantile(self, probability: float) -> float:
        """The end of the one-sided interval of that confidence."""
        z = self.bias + math.copysign(self._reach(), probability - 0.5)
        shifted = self.bias + z / max(1 - self.acceleration * z, 1e-3)
        return float(np.quantile(self.sorted, NormalDist().cdf(shifted)))

    def p_at_least(self, limit: float) -> float:
        """The p-value of `the true value is at least limit`: small where the values lie below."""
        u = NormalDist().inv_cdf(self._share_below(limit)) - self.bias
        return 1 - NormalDist().cdf(u / max(1 + self.acceleration * u, 1e-3) - self.bias)

    def _reach(self) -> float:
        freedom = max(self.images - 1, FEWEST_IMAGES - 1)
        return math.sqrt((freedom + 1) / freedom) * student_quantile(1 - ONE_SIDED, freedom)

    def _share_below(self, value: float) -> float:
        """The share of resampled values below one, ties half, never 0 or 1."""
        below, up_to = (int(np.searchsorted(self.sorted, value, side)) for side in ("left", "right"))
        count = len(self.sorted)
        return min(max((below + up_to) / 2, 1), count - 1) / count


def _weights(images: int, seed: int) -> Floats:
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    return drawn.astype(np.float64)


def _differences(reference_NCC: Counts, target_NCC: Counts, weights_RN: Floats) -> Floats:
    """Target minus reference IoU in 0..1 of each class in each resample, [R, C]."""
    return _resampled_iou(target_NCC, weights_RN) - _resampled_iou(reference_NCC, weights_RN)


def _differences_without(reference_NCC: Counts, target_NCC: Counts) -> Floats:
    """Target minus reference IoU in 0..1 of each class over all images but one, [N, C]."""
    reference_NC, target_NC = (_iou(*_parts(counts.sum(0) - counts)) for counts in (reference_NCC, target_NCC))
    return target_NC - reference_NC


def _resampled_iou(counts_NCC: Counts, weights_RN: Floats) -> Floats:
    """IoU in 0..1 of each class in each resample, [R, C]; NaN where no drawn image has the class."""
    # float64 counts are exact to 2^53 pixels
    return _iou(*(weights_RN @ part.astype(np.float64) for part in _parts(counts_NCC)))


def _parts(counts_NCC: Counts) -> tuple[Counts, Counts, Counts]:
    """Pixels hit, labelled and predicted of each class in each image, [N, C]."""
    return np.diagonal(counts_NCC, axis1=1, axis2=2), counts_NCC.sum(2), counts_NCC.sum(1)


def _iou(hit: npt.NDArray[Any], labelled: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> Floats:
    return np.where(labelled > 0, hit / np.maximum(labelled + predicted - hit, 1), np.nan)


def _mean_present(values_RC: Floats) -> Floats:
    drawn = np.isfinite(values_RC)
    return np.asarray(np.where(drawn, values_RC, 0).sum(1) / np.maximum(drawn.sum(1), 1))


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
