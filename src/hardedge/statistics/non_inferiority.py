"""Whether a target's mIoU is worse than its reference's by more than a margin: pure statistics over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Interval, Verdict
from hardedge.metrics import Counts, hit_labelled_predicted, iou_of_parts, mean_iou
from hardedge.statistics.bootstrap import FEWEST_IMAGES
from hardedge.statistics.corrections import holm
from hardedge.statistics.lower_bounds import ImageWeights, draw_weights, mean_draws
from hardedge.statistics.unseen import MAX_UNSEEN, images_for

Floats = npt.NDArray[np.float64]

ONE_SIDED = 0.05
FEWEST_TO_PASS = 20  # fewer that are not equal pass nothing: the error rates hold from here on


@dataclass(frozen=True)
class ClassDrop:
    """A class by its index, target minus reference in percent points of its IoU, and in how many images it is labelled.

    `low` is the one-sided 95 % lower end: that the lowest of all classes lies above a limit is a test of its own level,
    as every class must pass it. `high` is the upper end divided among the classes (Bonferroni). `differing` are the
    images whose counts of this class are not equal.
    """

    index: int
    difference: float
    low: float
    high: float
    images: int
    differing: int


@dataclass(frozen=True)
class MiouDifference:
    """Target minus reference in percent points: mIoU, its 90 % interval, the verdict, and a p-value a class.

    `images` are those with a labelled pixel, as no other shows a loss; `differing` those whose counts are not equal.
    `classes` are the labelled classes, None in the place of another. All differences are over the labelled classes, the
    same for both; the two mIoUs are also over the classes that are predicted and in no label.
    """

    miou_reference: float
    miou: float
    difference: float
    interval: Interval
    status: Verdict
    p_worse: tuple[float | None, ...]
    images: int
    differing: int
    classes: tuple[ClassDrop | None, ...]

    @property
    def worst(self) -> ClassDrop | None:
        """The class whose interval reaches lowest; None where no class differs."""
        changed = [each for each in self.classes if each and each.differing]
        return min(changed, key=lambda each: each.low) if changed else None


def miou_difference(
    reference_NCC: Counts, target_NCC: Counts, margin: float, seed: int = 0, max_unseen: float = MAX_UNSEEN
) -> MiouDifference:
    """Non-inferiority of the target's mIoU, from the confusion counts int64 [N, C, C] of both on the same images.

    `pass` when the lower end of the two-sided 90 % interval is above -margin points, `fail` when the upper end is
    below, else `inconclusive`, as are too few images (`missing_images`). Equal counts differ by exactly 0. p-values are
    Holm-corrected; a small one says that the class lost more than the margin, which fewer than five images that differ
    in it cannot show. Raises ValueError where no pixel is labelled.
    """
    labelled_N = reference_NCC.sum((1, 2)) > 0
    if not labelled_N.any():
        raise ValueError("no labelled pixel")
    reference_NCC, target_NCC = reference_NCC[labelled_N], target_NCC[labelled_N]
    parts_NC3, other_NC3 = hit_labelled_predicted(reference_NCC), hit_labelled_predicted(target_NCC)
    contributions_NC = image_contributions(parts_NC3, other_NC3)
    images, present = len(contributions_NC), np.isfinite(contributions_NC).all(0)
    differing_NC = (parts_NC3 != other_NC3).any(-1)
    weights = draw_weights(images, seed)
    miou_reference, miou = (100 * mean_iou(counts.sum(0)) for counts in (reference_NCC, target_NCC))
    labelled_reference, labelled = (_labelled_miou(parts) for parts in (parts_NC3, other_NC3))
    low = high = 0.0
    if differing_NC.any():
        mean_N1 = images * contributions_NC[:, present].mean(1, keepdims=True)
        low = max(_end(mean_N1, weights), -labelled_reference)
        high = min(-_end(-mean_N1, weights), 100 - labelled_reference)
    differing = int(differing_NC.any(1).sum())
    status = non_inferiority_verdict(low, high, margin)
    missing = missing_images(images, differing > 0, max_unseen)
    if (status == "pass" and missing) or (status == "fail" and images < FEWEST_IMAGES):
        status = "inconclusive"
    in_images_C = (parts_NC3[..., 1] > 0).sum(0)
    p_worse, classes = _classes(images * contributions_NC, differing_NC, weights, margin, in_images_C)
    return MiouDifference(
        miou_reference=miou_reference,
        miou=miou,
        difference=labelled - labelled_reference,
        interval=Interval(low=low, high=high, confidence=100 * (1 - 2 * ONE_SIDED)),
        status=status,
        p_worse=p_worse,
        images=images,
        differing=differing,
        classes=classes,
    )


def _labelled_miou(parts_NC3: Counts) -> float:
    iou_C = 100 * iou_of_parts(parts_NC3.sum(0))
    return float(np.nanmean(iou_C)) if np.isfinite(iou_C).any() else float("nan")


def image_contributions(reference_NC3: Counts, target_NC3: Counts) -> Floats:
    """What each image adds to each class's difference in percent points, float64 [N, C]; their sum is the difference.

    h'/u' - h/u = sum of (dh - h/u du) / u' over the images, whose hits and unions differ by dh and du: 0 for an image
    that is equal in both arms. The unions are taken as given, which widens the interval: a class's loss and its area go
    up and down together. NaN for a class that is not in the labels.
    """
    reference_C3, target_C3 = reference_NC3.sum(0), target_NC3.sum(0)
    change_NC3 = (target_NC3 - reference_NC3).astype(np.float64)
    hit_NC = change_NC3[..., 0]
    union_NC = change_NC3[..., 1] + change_NC3[..., 2] - hit_NC
    union_C = np.maximum(target_C3[:, 1] + target_C3[:, 2] - target_C3[:, 0], 1)
    return np.asarray(100 * (hit_NC - iou_of_parts(reference_C3) * union_NC) / union_C)


def non_inferiority_verdict(low: float, high: float, margin: float) -> Verdict:
    """What an interval of a difference in points says about a drop of more than `margin`."""
    if low > -margin:
        return "pass"
    return "fail" if high < -margin else "inconclusive"


def missing_images(images: int, differing: bool, max_unseen: float) -> int:
    """How many more images a pass needs: for what stays unseen, and for an interval where the arms differ; 0: none."""
    needed = max(images_for(max_unseen), FEWEST_TO_PASS if differing else 1)
    return max(needed - images, 0)


def _end(values_NK: Floats, weights: ImageWeights) -> float:
    return float(mean_draws(values_NK, weights).lower(ONE_SIDED)[0])


def _classes(
    values_NC: Floats,
    differing_NC: npt.NDArray[np.bool_],
    weights: ImageWeights,
    margin: float,
    in_images_C: npt.NDArray[np.int64],
) -> tuple[tuple[float | None, ...], tuple[ClassDrop | None, ...]]:
    """The p-values of `lost more than the margin`, and each labelled class's difference with its ends."""
    present = np.asarray(np.isfinite(values_NC).all(0)) & (in_images_C > 0)
    p_values: list[float | None] = [1.0 if there else None for there in present.tolist()]
    classes: list[ClassDrop | None] = [
        ClassDrop(index, 0.0, 0.0, 0.0, int(in_images_C[index]), 0) if there else None
        for index, there in enumerate(present.tolist())
    ]
    (tested,) = np.nonzero(present & differing_NC.any(0))
    if not len(tested):
        return holm(p_values), tuple(classes)
    gains, losses = (mean_draws(sign * values_NC[:, tested], weights) for sign in (1, -1))
    lows, highs, p_worse = gains.lower(ONE_SIDED), -losses.lower(ONE_SIDED / len(tested)), losses.p_at_most(margin)
    for place, index in enumerate(tested.tolist()):
        differing, ends = int(differing_NC[:, index].sum()), (float(lows[place]), float(highs[place]))
        classes[index] = ClassDrop(index, float(gains.mean_K[place]), *ends, int(in_images_C[index]), differing)
        if differing >= FEWEST_IMAGES:
            p_values[index] = float(p_worse[place])
    return holm(p_values), tuple(classes)
