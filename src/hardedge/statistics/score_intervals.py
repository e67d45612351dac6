"""How far mIoU and each class's IoU would vary over images like these: a bootstrap over images, pure statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Interval, ScoreIntervals
from hardedge.metrics import Counts
from hardedge.statistics.bootstrap import FEWEST_IMAGES, RESAMPLES, Bca, Floats, image_draws, mean_present

CONFIDENCE = 95.0


def score_intervals(parts_NC3: Counts, names: Sequence[str], seed: int = 0) -> ScoreIntervals:
    """Intervals in percent from the pixels hit, labelled and predicted of each class in each image, int64 [N, C, 3].

    BCa as in `difference_distributions`, widened for the images that have the class. None where fewer than five have
    it, and where no draw of images changes the score: then they do not tell how far it would vary.
    """
    images, *shape = parts_NC3.shape
    flat_NK = parts_NC3.reshape(images, -1).astype(np.float64)
    drawn = [(weights_RN @ flat_NK).reshape(-1, *shape) for weights_RN in image_draws(images, RESAMPLES, seed)]
    resampled_RC = 100 * iou_of_union(np.concatenate(drawn))
    without_NC = 100 * iou_of_union(parts_NC3.sum(0) - parts_NC3)
    whole_C = 100 * iou_of_union(parts_NC3.sum(0))
    holding_C = (parts_NC3[..., 1:].sum(-1) > 0).sum(0)
    present = np.isfinite(whole_C)
    mean = None
    if present.any():
        means = (mean_present(values[..., present]) for values in (resampled_RC, whole_C[None], without_NC))
        resampled_R, whole_1, without_N = means
        mean = _interval(resampled_R, float(whole_1[0]), without_N, images)
    per_class = {
        name: _interval(resampled_RC[:, index], float(whole_C[index]), without_NC[:, index], int(holding_C[index]))
        if present[index]
        else None
        for index, name in enumerate(names)
    }
    return ScoreIntervals(images=images, miou=mean, per_class=per_class)


def iou_of_union(parts: npt.NDArray[np.float64] | Counts) -> Floats:
    """IoU in 0..1 of each class that is labelled or predicted, float64 [..., C]; NaN for others."""
    hit, labelled, predicted = np.moveaxis(parts, -1, 0)
    union = labelled + predicted - hit
    return np.where(union > 0, hit / np.maximum(union, 1), np.nan)


def _interval(resampled_R: Floats, whole: float, without_N: Floats, images: int) -> Interval | None:
    known_R = resampled_R[np.isfinite(resampled_R)]
    if images < FEWEST_IMAGES or np.ptp(known_R) < 1e-9:
        return None
    found, tail = Bca(resampled_R, whole, without_N, images), (1 - CONFIDENCE / 100) / 2
    low, high = (found.quantile(end, images) for end in (tail, 1 - tail))
    return Interval(low=min(low, whole), high=max(high, whole), confidence=CONFIDENCE)
