"""The paired bootstrap over images by which two runs are compared: pure statistics.

The interval is Efron's BCa (bias-corrected and accelerated; Efron 1987), its level widened for few images as in
Hesterberg (2015, section 5.3): errors crowd on a few hard images, and plain percentiles of such skewed sums are too
narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hardedge.metrics import Counts, iou_of_parts
from hardedge.statistics.student import student_quantile, student_two_sided

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
FEWEST_IMAGES = 5  # fewer that are not equal decide nothing


def difference_distributions(
    base_NC3: Counts, other_NC3: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Bca, list[Bca | None]]:
    """Other minus base in percent points, of the mIoU and of each class; None where a class is not in the labels.

    Both are pixels hit, labelled and predicted of each class in the same images, int64 [N, C, 3]. Images are resampled
    for both arms together.
    """
    drawn = [
        _differences(base_NC3, other_NC3, weights_RN) for weights_RN in image_draws(len(base_NC3), resamples, seed)
    ]
    resampled_RC = 100 * np.concatenate(drawn)
    without_NC = 100 * (iou_of_parts(other_NC3.sum(0) - other_NC3) - iou_of_parts(base_NC3.sum(0) - base_NC3))
    whole_C = 100 * (iou_of_parts(other_NC3.sum(0)) - iou_of_parts(base_NC3.sum(0)))
    differing_NC = (base_NC3 != other_NC3).any(-1)
    present = np.isfinite(whole_C)
    mean = Bca(
        mean_present(resampled_RC[:, present]),
        float(mean_present(whole_C[None, present])[0]),
        mean_present(without_NC[:, present]),
        int(differing_NC.any(1).sum()),
    )
    classes = [
        Bca(resampled_RC[:, index], float(whole_C[index]), without_NC[:, index], int(differing_NC[:, index].sum()))
        if there
        else None
        for index, there in enumerate(present)
    ]
    return mean, classes


class Bca:
    """The confidence distribution of a difference from its resampled values and those without one image each.

    `differing` are the images in which the arms are not equal. Values that are not finite (a class in none of the
    images that were drawn) are left out.
    """

    def __init__(self, resampled_R: Floats, estimate: float, without_N: Floats, differing: int) -> None:
        self.estimate = estimate
        self.differing = differing
        self.sorted = np.sort(resampled_R[np.isfinite(resampled_R)])
        self.images = len(without_N)
        self.bias = NormalDist().inv_cdf(self._share_below(estimate))
        pull = without_N[np.isfinite(without_N)]
        pull = pull.mean() - pull if len(pull) else np.zeros(1)
        scale = float((pull**2).sum())
        # no image pulls where all differences are equal
        self.acceleration = float((pull**3).sum()) / (6 * scale**1.5) if scale > 1e-18 else 0.0

    def quantile(self, probability: float, images: int | None = None) -> float:
        """The end of the one-sided interval of that confidence, widened for so many images (default: all)."""
        reach = student_quantile(max(probability, 1 - probability), self._freedom(images)) * self._widening(images)
        z = self.bias + math.copysign(reach, probability - 0.5)
        shifted = self.bias + z / max(1 - self.acceleration * z, 1e-3)
        return float(np.quantile(self.sorted, NormalDist().cdf(shifted)))

    def p_different(self, images: int) -> float:
        """The two-sided p-value of `the true value is 0`: the level whose interval, widened for so many, ends at 0."""
        return student_two_sided(self._reach_of(0.0) / self._widening(images), self._freedom(images))

    def _reach_of(self, limit: float) -> float:
        """How many standard deviations the interval has to reach from the estimate to end at a limit."""
        u = NormalDist().inv_cdf(self._share_below(limit)) - self.bias
        return u / max(1 + self.acceleration * u, 1e-3) - self.bias

    def _freedom(self, images: int | None) -> int:
        return max((self.images if images is None else images) - 1, FEWEST_IMAGES - 1)

    def _widening(self, images: int | None) -> float:
        freedom = self._freedom(images)
        return math.sqrt((freedom + 1) / freedom)

    def _share_below(self, value: float) -> float:
        """The share of resampled values below one, ties half, never 0 or 1."""
        below, up_to = (int(np.searchsorted(self.sorted, value, side)) for side in ("left", "right"))
        count = len(self.sorted)
        return min(max((below + up_to) / 2, 1), count - 1) / count


def image_draws(images: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each image is drawn in each resample, float64 [r, N], in blocks that fit in memory."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, RESAMPLES):
        size = min(RESAMPLES, resamples - start)
        yield rng.multinomial(images, np.full(images, 1 / images), size=size).astype(np.float64)


def _differences(base_NC3: Counts, other_NC3: Counts, weights_RN: Floats) -> Floats:
    """Other minus base IoU in 0..1 of each class in each resample, [R, C]; NaN where no drawn image has the class."""
    # float64 counts are exact to 2^53 pixels
    images, *shape = base_NC3.shape
    flat = (arm.reshape(images, -1).astype(np.float64) for arm in (base_NC3, other_NC3))
    base_RC3, other_RC3 = ((weights_RN @ arm).reshape(-1, *shape) for arm in flat)
    return iou_of_parts(other_RC3) - iou_of_parts(base_RC3)


def mean_present(values_RC: Floats) -> Floats:
    drawn = np.isfinite(values_RC)
    return np.asarray(np.where(drawn, values_RC, 0).sum(1) / np.maximum(drawn.sum(1), 1))
