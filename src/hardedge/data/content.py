"""What opening a data set cannot see and every command refuses: splits without usable labels, files in two splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hardedge.console import note
from hardedge.contracts import Task
from hardedge.data.dataset import SHOWN, SPLITS, Dataset
from hardedge.data.leaks import find_leaks
from hardedge.errors import faults_error

Values = npt.NDArray[np.int64]


def require_usable_data(dataset: Dataset, splits: Sequence[str] = SPLITS) -> None:
    """Raises BadInput where a split has no labels, the training split one class, or an image is in two splits.

    Masks are decoded until enough is seen, as a rule one a split. Prints what find_leaks notes.
    """
    leaks = find_leaks(dataset)
    faults = [fault for split in splits if (fault := _label_fault(dataset, split))] + [*leaks.faults]
    if faults:
        shown = [*faults[:SHOWN], f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else faults
        raise faults_error(
            f"{dataset.root} cannot be used", shown, f"See all faults with: hardedge check {dataset.root}"
        )
    for text in leaks.notes:
        note(f"{dataset.name}: {text}")


def tell_notes(dataset: Dataset) -> None:
    """Prints what is worth knowing before a score of this data set is believed."""
    for text in dataset.notes:
        note(f"{dataset.name}: {text}")


def label_fault(split: str, pixels: Values, task: Task) -> str | None:
    """What is wrong with a split whose masks have so many pixels of each value, int64 [256]."""
    labelled = np.flatnonzero(pixels[: task.num_classes])
    ignored = pixels[task.ignore_index] / max(pixels.sum(), 1)
    if not len(labelled):
        return f"{split}: no labelled pixel; all are the ignore index {task.ignore_index}. Label some, or correct it"
    if len(labelled) > 1 or split != "train":
        return None
    value, other = int(labelled[0]), task.ignore_index
    meant = f': {{"{value}": {value}, "{other}": {1 - value}}}' if task.num_classes == 2 else ""
    return (
        f"{split}: class {task.classes[value].name} alone is labelled, {ignored:.1%} of the pixels are the ignore "
        f'index {other}: nothing can be learned. Where {other} means a class, add "values"{meant} to classes.json'
    )


def one_class_note(split: str, pixels: Values, task: Task) -> str | None:
    """What to say beside the score of a split with one class."""
    labelled = np.flatnonzero(pixels[: task.num_classes])
    if split == "train" or len(labelled) != 1:
        return None
    return f"{split}: class {task.classes[labelled[0]].name} alone is labelled, so its score says nothing of the others"


def _label_fault(dataset: Dataset, split: str) -> str | None:
    enough = 2 if split == "train" else 1
    pixels = np.zeros(256, np.int64)
    for id in dataset.splits[split]:
        label_HW = dataset.training_label(id) if split == "train" else dataset.mask(id)
        pixels += np.bincount(label_HW.reshape(-1), minlength=256)
        if np.count_nonzero(pixels[: dataset.task.num_classes]) >= enough:
            return None
    return label_fault(split, pixels, dataset.task)
