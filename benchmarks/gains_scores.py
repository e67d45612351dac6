"""What benchmarks/gains.py tells apart beyond hardedge's own scores: parts of a split, and rare classes."""

import math

import numpy as np

from hardedge.metrics import iou_per_class
from hardedge.train.studies.scores import Counts, Ints, as_tuples, scores_of


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
