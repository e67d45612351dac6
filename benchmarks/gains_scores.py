"""What benchmarks/gains.py measures of a trained network, and what its seeds say about a difference."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import optimize, stats
from scipy.ndimage import distance_transform_edt
from torch import nn

from hardedge.contracts import Contract, Task
from hardedge.data.folder import Dataset, Pixels
from hardedge.metrics import confusion_counts, iou_per_class, mean_iou
from hardedge.train.evaluation import device_of, evaluating, network_input

TOLERANCE = 3  # pixels between a border and its counterpart
LEVEL = 0.95
POWER = 0.8

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Counts(Contract):
    """What a network did on some images, as integers that add up over images.

    `pixels` [C, C]: labels by predictions. `borders` [C, 4]: of each class the border pixels that are predicted, those
    of them within 3 pixels of a labelled one, the labelled ones, and those of them within 3 pixels of a predicted one.
    """

    pixels: tuple[tuple[int, ...], ...]
    borders: tuple[tuple[int, int, int, int], ...]


def counted(model: nn.Module, dataset: Dataset, ids: Iterable[str]) -> Counts:
    """The network's counts over the images, each at its label's own resolution."""
    task, device = dataset.task, device_of(model)
    pixels = np.zeros((task.num_classes, task.num_classes), np.int64)
    borders = np.zeros((task.num_classes, 4), np.int64)
    with evaluating(model):
        for id in ids:
            image_HWC, label_HW = dataset.pair(id)
            mask_HW = model(network_input(image_HWC, device)).argmax(1)[0].to(torch.uint8).cpu().numpy()
            pixels += confusion_counts(mask_HW, label_HW, task.num_classes, task.ignore_index)
            borders += border_counts(mask_HW, label_HW, task)
    return Counts(pixels=_nested(pixels), borders=_nested(borders))  # type: ignore[arg-type]  # [C, 4]


def added(first: Counts, second: Counts) -> Counts:
    """The counts of both groups of images."""
    pixels, borders = (
        np.array(ours) + np.array(theirs)
        for ours, theirs in ((first.pixels, second.pixels), (first.borders, second.borders))
    )
    return Counts(pixels=_nested(pixels), borders=_nested(borders))  # type: ignore[arg-type]  # [C, 4]


def _nested(counts: Ints) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in counts.tolist())


def border_counts(mask_HW: Pixels, label_HW: Pixels, task: Task) -> Ints:
    """The four counts of each class, int64 [C, 4]; unlabelled pixels are in no class and on no border."""
    known_HW = label_HW != task.ignore_index
    counts = np.zeros((task.num_classes, 4), np.int64)
    for value in range(task.num_classes):
        predicted_HW = _border((mask_HW == value) & known_HW, known_HW)
        labelled_HW = _border((label_HW == value) & known_HW, known_HW)
        counts[value] = (
            predicted_HW.sum(),
            (predicted_HW & _near(labelled_HW)).sum(),
            labelled_HW.sum(),
            (labelled_HW & _near(predicted_HW)).sum(),
        )
    return counts


def _border(inside_HW: npt.NDArray[np.bool_], known_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels inside with a labelled neighbour, of four, that is outside; the picture's edge is no border."""
    outside_HW = np.pad(known_HW & ~inside_HW, 1)
    beside_HW = outside_HW[:-2, 1:-1] | outside_HW[2:, 1:-1] | outside_HW[1:-1, :-2] | outside_HW[1:-1, 2:]
    return inside_HW & beside_HW


def _near(border_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    if not border_HW.any():
        return np.zeros_like(border_HW)
    near_HW: npt.NDArray[np.bool_] = distance_transform_edt(~border_HW) <= TOLERANCE
    return near_HW


def rarest_third(pixels_C: Ints) -> Ints:
    """The indices of the third of the classes, rounded up, with the fewest pixels among those that have any."""
    present = np.flatnonzero(pixels_C)
    return present[np.argsort(pixels_C[present], kind="stable")][: math.ceil(len(present) / 3)]


def scores(counts: Counts, rare: Ints) -> dict[str, float]:
    """mIoU, mean recall, the rare classes' mean IoU and the boundary F-score, in percent, over labelled classes."""
    pixels = np.array(counts.pixels)
    labelled = pixels.sum(1)
    recall = np.diag(pixels)[labelled > 0] / labelled[labelled > 0]
    return {
        "mIoU": 100 * mean_iou(pixels),
        "mean recall": 100 * float(recall.mean()),
        "rare IoU": 100 * float(np.nanmean(iou_per_class(pixels)[rare])),
        "boundary F": 100 * boundary_f_score(np.array(counts.borders)),
    }


def boundary_f_score(borders: Ints) -> float:
    """The mean over the classes with a labelled border of 2 P R / (P + R), in 0..1.

    Precision P and recall R are of the whole split's border pixels: our reading, where the usual definition (Csurka et
    al., BMVC 2013) averages the F-scores of images, which a class in few images has few of.
    """
    predicted, right, labelled, found = borders[borders[:, 2] > 0].T
    precision, recall = right / np.maximum(predicted, 1), found / labelled
    return float(np.mean(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


@dataclass(frozen=True)
class Difference:
    """Pairs of one seed each: their mean difference, its interval, and what so few pairs could have shown at least.

    `detectable` is the difference that a two-sided paired t-test would show four times out of five, were these pairs'
    spread the true one.
    """

    mean: float
    low: float
    high: float
    detectable: float

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "not shown"


def paired_difference(ours: list[float], baseline: list[float]) -> Difference | None:
    """The difference of two rows over the seeds that both have, with Student's interval; None for fewer than two."""
    differences = np.array(ours) - np.array(baseline)
    count = len(differences)
    if count < 2:
        return None
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    mean, half = float(differences.mean()), error * float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    return Difference(mean, mean - half, mean + half, error * detectable_effect(count))


def detectable_effect(pairs: int) -> float:
    """The true mean, in standard errors, that a two-sided paired t-test at 5 % shows with a power of 80 %."""
    freedom = pairs - 1
    bound = stats.t.ppf((1 + LEVEL) / 2, freedom)

    def lacking(effect: float) -> float:
        # the other tail has no share in a power like this
        return float(stats.nct.sf(bound, freedom, effect)) - POWER

    return float(optimize.brentq(lacking, 0.0, 60.0))
