"""Mask values as class indices: as they are, or through the mapping that a data set gives."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Task
from hardedge.data.decoding import Pixels, read_mask_and_palette
from hardedge.errors import BadInput

UNKNOWN: Final = 254  # in a table: a value that the data set does not have


class ForeignValues(BadInput):
    """A mask with values that are neither a class nor the ignore index; `mask_HW` has them."""

    def __init__(self, message: str, mask_HW: Pixels) -> None:
        super().__init__(message)
        self.mask_HW = mask_HW


def read_labels(task: Task, path: Path, content: bytes | None = None, table: Pixels | None = None) -> Pixels:
    """A mask as class indices, uint8 [H, W]: its values as they are, or looked up in a table.

    Raises BadInput for a value that is neither a class nor the ignore index, or that the table does not know.
    """
    mask_HW, colors = read_mask_and_palette(path, content)
    if table is not None:
        return looked_up(mask_HW, table, path)
    if colors is not None and (fault := palette_fault(mask_HW, colors, task)):
        raise BadInput(f"{path}: {fault}. Write the masks in the order of classes.json, or reorder the classes.")
    fault = class_fault(mask_HW, task)
    if fault:
        raise ForeignValues(f"{path}: {fault}. Fix the mask, or add the class to classes.json.", mask_HW)
    return mask_HW


def class_fault(mask_HW: Pixels, task: Task) -> str | None:
    """What is wrong with a mask's values, or None."""
    from PIL import Image

    # Pillow counts bytes; numpy would widen them to 64 bits first
    counts = Image.fromarray(mask_HW).histogram()[task.num_classes :]
    values = (value for value, count in enumerate(counts, start=task.num_classes) if count)
    wrong = [str(value) for value in values if value != task.ignore_index]
    if not wrong:
        return None
    what = "class index" if len(wrong) == 1 else "class indices"
    last, ignored = task.num_classes - 1, task.ignore_index
    return f"{what} {', '.join(wrong)}, but classes.json has 0-{last} and ignore index {ignored}"


def palette_fault(mask_HW: Pixels, colors: Pixels, task: Task) -> str | None:
    """What is wrong where a mask's own palette has the classes' colours in another order; None otherwise."""
    places = {info.color: index for index, info in enumerate(task.classes)}
    if len(places) < task.num_classes:  # two classes of one colour
        return None
    used = np.flatnonzero(np.bincount(mask_HW.reshape(-1), minlength=256)[: task.num_classes])
    meant = [places.get(tuple(colors[value].tolist())) if value < len(colors) else None for value in used]
    moved = [(value, place) for value, place in zip(used.tolist(), meant, strict=True) if place != value]
    if len(moved) < 2 or None in meant or len(set(meant)) < len(meant):
        return None
    value, place = moved[0]
    return (
        f"value {value} is class {task.classes[value].name} in classes.json, but the mask's own palette gives it the "
        f"colour of {task.classes[place or 0].name}"
    )


def looked_up(raw_HW: npt.NDArray[np.unsignedinteger], table: Pixels, path: Path) -> Pixels:
    """The class indices uint8 [H, W] of raw label values; raises BadInput naming those that the table does not know."""
    mask_HW: Pixels = table[np.minimum(raw_HW, len(table) - 1)]
    wrong_HW = (mask_HW == UNKNOWN) | (raw_HW >= len(table))
    if wrong_HW.any():
        wrong = ", ".join(str(value) for value in np.unique(raw_HW[wrong_HW])[:5])
        known = np.flatnonzero(table != UNKNOWN)
        expected = f"expected one of {known[0]}-{known[-1]}"
        raise BadInput(f"{path}: label {wrong}, {expected}. Correct the file, or get it anew.")
    return mask_HW
