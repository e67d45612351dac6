"""Whether the counts look as if a network saw other images than it expects, or learned nothing."""

from __future__ import annotations

import numpy as np

from hardedge.metrics import Counts, mean_iou


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
