"""What benchmarks/gains.py tells apart beyond hardedge's own scores: parts of a split, and rare classes."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from gains_experiment import Bin
from torch import nn

from hardedge.data import Dataset
from hardedge.metrics import iou_per_class
from hardedge.train.evaluation import device_of, evaluation_mode, network_input
from hardedge.train.studies.scores import Counts, Ints, as_tuples, scores_of

BINS = 15


def added(first: Counts, second: Counts) -> Counts:
    """The counts of both groups of images."""
    pixels, borders = (
        np.array(ours) + np.array(theirs)
        for ours, theirs in ((first.pixels, second.pixels), (first.borders, second.borders))
    )
    return Counts(pixels=as_tuples(pixels), borders=as_tuples(borders))  # type: ignore[arg-type]  # [C, 4]


def rarest_third(pixels_C: Ints) -> Ints:
    """The indices of the third of the classes, rounded up, with the fewest pixels among those that have any."""
    present = np.flatnonzero(pixels_C)
    return present[np.argsort(pixels_C[present], kind="stable")][: math.ceil(len(present) / 3)]


def scores_with_rare(counts: Counts, rare: Ints) -> dict[str, float]:
    """The scores of the counts, and the mean IoU of the rare classes, in percent."""
    return scores_of(counts) | {"rare IoU": 100 * float(np.nanmean(iou_per_class(np.array(counts.pixels))[rare]))}


def confidence_bins(model: nn.Module, dataset: Dataset, ids: Iterable[str]) -> tuple[Bin, ...]:
    """The labelled pixels of the images in 15 bins of equal width by their top probability."""
    counts = np.zeros((3, BINS))
    with evaluation_mode(model):
        for id in ids:
            image_HWC, label_HW = dataset.pair(id)
            probabilities_CHW = model(network_input(image_HWC, device_of(model))).softmax(1)[0]
            top, mask = (each.cpu().numpy() for each in probabilities_CHW.max(0))
            known = label_HW != dataset.task.ignore_index
            place = np.minimum((top[known] * BINS).astype(np.int64), BINS - 1)
            for row, weights in enumerate((None, mask[known] == label_HW[known], top[known])):
                counts[row] += np.bincount(place, weights, minlength=BINS)
    return tuple(Bin(pixels=int(a), right=int(b), confidence=round(float(c), 3)) for a, b, c in counts.T)


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error in percent: how far confidence and accuracy of a bin are apart, over pixels."""
    return 100 * sum(abs(each.right - each.confidence) for each in bins) / max(1, sum(each.pixels for each in bins))
