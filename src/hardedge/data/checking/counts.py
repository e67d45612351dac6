"""What `check` counts of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hardedge.contracts import ClassInfo, Contract, Task
from hardedge.data.dataset import Pixels, class_fault, read_image, read_mask
from hardedge.errors import BadInput

Reader: TypeAlias = Callable[[Path], Pixels]


@dataclass(frozen=True, kw_only=True)
class ClassCount(Contract):
    """One class in one split: its pixels, their share of the labelled pixels in 0..1, the images that have it."""

    name: str
    pixels: int
    share: float
    images: int


@dataclass(frozen=True, kw_only=True)
class SplitCount(Contract):
    """One split: its images, the readable masks' labelled and ignored pixels, and its classes by index."""

    name: str
    images: int
    labelled: int
    ignored: int
    classes: tuple[ClassCount, ...]


@dataclass(frozen=True, kw_only=True)
class DataCheck(Contract):
    """What a data set holds. Faults forbid its use; notes are worth knowing."""

    data: str
    classes: tuple[ClassInfo, ...]
    splits: tuple[SplitCount, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """One id after decoding: the pixels of each mask value (None without a readable mask), and what is wrong."""

    values: tuple[int, ...] | None
    faults: tuple[str, ...]


def decode_pair(
    image_path: Path | None,
    mask_path: Path | None,
    task: Task | None,
    decode_image: Reader = read_image,
    decode_mask: Reader = read_mask,
) -> Pair:
    """One id's image and mask (None: missing, which is told elsewhere), decoded, with all that is wrong with them."""
    faults: list[str] = []
    image_HWC = mask_HW = None
    try:
        image_HWC = decode_image(image_path) if image_path else None
    except BadInput as error:
        faults.append(str(error))
    try:
        mask_HW = decode_mask(mask_path) if mask_path else None
    except BadInput as error:
        faults.append(str(error))
    if image_HWC is not None and mask_HW is not None and image_HWC.shape[:2] != mask_HW.shape:
        faults.append(f"{mask_path}: {_size(mask_HW)}, but its image is {_size(image_HWC)}. Make them one size.")
    if mask_HW is None:
        return Pair(None, tuple(faults))
    if task and (wrong := class_fault(mask_HW, task)):
        faults.append(f"{mask_path}: {wrong}. Fix the mask, or add the class to classes.json.")
    values = np.bincount(mask_HW.reshape(-1), minlength=256)
    return Pair(tuple(values.tolist()), tuple(faults))


def count_classes(split: str, ids: Iterable[str], pairs: Mapping[str, Pair], task: Task | None) -> SplitCount:
    """What the ids' masks hold, of those that could be read."""
    ids = tuple(ids)
    values = [pairs[id].values for id in ids if id in pairs]
    pixels = np.array([row for row in values if row is not None], np.int64).reshape(-1, 256)
    classes = task.classes if task else ()
    per_class = pixels[:, : len(classes)].sum(0)
    labelled = int(per_class.sum())
    counts = tuple(
        ClassCount(
            name=info.name,
            pixels=int(per_class[index]),
            share=int(per_class[index]) / max(labelled, 1),
            images=int((pixels[:, index] > 0).sum()),
        )
        for index, info in enumerate(classes)
    )
    ignored = int(pixels[:, task.ignore_index].sum()) if task else 0
    return SplitCount(name=split, images=len(ids), labelled=labelled, ignored=ignored, classes=counts)


def absent_class_notes(counts: Iterable[SplitCount], named: str) -> list[str]:
    """A note for each class that a split has no pixel of."""
    return [
        f"{named.format(split.name)}: no pixel of class {entry.name}"
        for split in counts
        for entry in split.classes
        if not entry.pixels
    ]


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
