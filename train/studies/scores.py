"""What a trained network did on some images beyond mIoU: mean recall, and the F-score of borders."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn

from hardedge.contracts import Contract, Task
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.metrics import confusion_counts, mean_iou
from hardedge.train.evaluation import device_of, evaluation_mode, network_input

TOLERANCE = 3  # pixels between a border and its counterpart
METRICS = {"miou": "mIoU", "recall": "mean recall", "boundary": "boundary F"}  # by the command line's words

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Counts(Contract):
    """What a network did on some images, as integers that add up over images.

    `pixels` [C, C]: labels by predictions. `borders` [C, 4]: of each class the border pixels that are predicted, those
    of them within 3 pixels of a labelled one, the labelled ones, and those of them within 3 pixels of a predicted one.
    """

    pixels: tuple[tuple[int, ...], ...]
    borders: tuple[tuple[int, int, int, int], ...]


def count_scores(model: nn.Module, dataset: Dataset, ids: Iterable[str], *, with_borders: bool = True) -> Counts:
    """The network's counts over the images, each at its label's own resolution; borders are 0 where not asked for."""
    task, device = dataset.task, device_of(model)
    pixels = np.zeros((task.num_classes, task.num_classes), np.int64)
    borders = np.zeros((task.num_classes, 4), np.int64)
    with evaluation_mode(model):
        for id in ids:
            image_HWC, label_HW = dataset.pair(id)
            mask_HW = model(network_input(image_HWC, device)).argmax(1)[0].to(torch.uint8).cpu().numpy()
            pixels += confusion_counts(mask_HW, label_HW, task.num_classes, task.ignore_index)
            if with_borders:
                borders += border_counts(mask_HW, label_HW, task)
    return Counts(pixels=as_tuples(pixels), borders=as_tuples(borders))  # type: ignore[arg-type]  # [C, 4]


def as_tuples(counts: Ints) -> tuple[tuple[int, ...], ...]:
    """A matrix as tuples, which a contract keeps."""
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


def scores_of(counts: Counts) -> dict[str, float]:
    """mIoU, mean recall and the boundary F-score, in percent, over the classes that are labelled.

    NaN where no pixel, or no border, is.
    """
    pixels = np.array(counts.pixels)
    labelled = pixels.sum(1)
    recall = np.diag(pixels)[labelled > 0] / labelled[labelled > 0]
    return {
        "mIoU": 100 * mean_iou(pixels),
        "mean recall": 100 * float(recall.mean()) if len(recall) else float("nan"),
        "boundary F": 100 * boundary_f_score(np.array(counts.borders)),
    }


def boundary_f_score(borders: Ints) -> float:
    """The mean over the classes with a labelled border of 2 P R / (P + R), in 0..1; NaN where no class has one.

    Precision P and recall R are of the whole split's border pixels: our reading, where the usual definition (Csurka et
    al., BMVC 2013) averages the F-scores of images, which a class in few images has few of.
    """
    there = borders[borders[:, 2] > 0]
    if not len(there):
        return float("nan")
    predicted, right, labelled, found = there.T
    precision, recall = right / np.maximum(predicted, 1), found / labelled
    return float(np.mean(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
