"""What `check` counts of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hardedge.contracts import ClassInfo, Contract, Task
from hardedge.data.content import label_fault, one_class_note
from hardedge.data.dataset import Dataset, size_fault
from hardedge.data.decoding import Pixels
from hardedge.data.labels import ForeignValues
from hardedge.data.splitting.near_duplicates import Fingerprint, fingerprint
from hardedge.errors import BadInput


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
    """One id after decoding: the pixels of each class and mask value (None without a readable mask), what is wrong."""

    values: tuple[int, ...] | None
    faults: tuple[str, ...]
    orientation: int = 1
    size: tuple[int, int] | None = None
    fingerprint: Fingerprint | None = None


def decode_pair(dataset: Dataset, id: str, *, image: bool = True, mask: bool = True) -> Pair:
    """One id's image and mask, decoded, with all that is wrong with them; what is not there is left out."""
    from PIL import Image

    faults: list[str] = []
    image_HWC = _image(dataset, id, faults) if image else None
    mask_HW = _mask(dataset, id, faults) if mask else None
    turned = dataset.orientation(id) if image_HWC is not None else 1
    if image_HWC is not None and mask_HW is not None and image_HWC.shape[:2] != mask_HW.shape:
        faults.append(f"{dataset.mask_path(id)}: {size_fault(image_HWC, mask_HW, turned)}")
    values = None if mask_HW is None else tuple(np.bincount(mask_HW.reshape(-1), minlength=256).tolist())
    if image_HWC is None:
        return Pair(values, tuple(faults))
    height, width, _ = image_HWC.shape
    return Pair(values, tuple(faults), turned, (height, width), fingerprint(Image.fromarray(image_HWC)))


def _image(dataset: Dataset, id: str, faults: list[str]) -> Pixels | None:
    try:
        return dataset.image(id)
    except BadInput as error:
        faults.append(str(error))
        return None


def _mask(dataset: Dataset, id: str, faults: list[str]) -> Pixels | None:
    try:
        return dataset.mask(id)
    except ForeignValues as error:
        faults.append(str(error))
        return error.mask_HW
    except BadInput as error:
        faults.append(str(error))
        return None


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


def label_faults(dataset: Dataset, pairs: Mapping[str, Pair]) -> tuple[list[str], list[str]]:
    """Faults and notes of splits without labels, or with those of one class alone."""
    faults, notes = [], []
    for split, ids in dataset.splits.items() if dataset.task.classes else ():
        values = [found for id in ids if id in pairs and (found := pairs[id].values) is not None]
        pixels = np.array(values, np.int64).reshape(-1, 256).sum(0)
        if pixels[: dataset.task.num_classes].any() or pixels[dataset.task.ignore_index]:
            faults += [fault for fault in (label_fault(split, pixels, dataset.task),) if fault]
            notes += [note for note in (one_class_note(split, pixels, dataset.task),) if note]
    return faults, notes


def absent_class_notes(counts: Iterable[SplitCount], named: str) -> list[str]:
    """A note for each split that has no pixel of a class, or of several."""
    notes = []
    for split in counts:
        absent = [entry.name for entry in split.classes if not entry.pixels]
        if len(absent) == 1:
            notes.append(f"{named.format(split.name)}: no pixel of class {absent[0]}")
        elif absent:
            names = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            notes.append(
                f"{named.format(split.name)}: no pixel of {len(absent)} of {len(split.classes)} classes: {names}"
            )
    return notes
