"""A data set as every stage sees it: ids by split, each with an image and a mask that are decoded when asked for."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple, TypeAlias, overload

from hardedge.contracts import Task
from hardedge.contracts.notebook import facts_table
from hardedge.data.decoding import Pixels
from hardedge.errors import BadInput

SPLITS = ("train", "val", "test")
SHOWN: Final = 20

Labels = Literal["masks", "scribbles"]
SizeRange: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


class StoredImage(NamedTuple):
    """Where the bytes of an image's file are: a file of its own, or a part of one that holds many."""

    split: str
    id: str
    path: Path
    offset: int
    size: int

    def middle(self, length: int) -> bytes:
        """So many bytes around the middle, which tell most files of one size apart."""
        start = max(0, self.size // 2 - length // 2)
        return b"".join(self._read(start, min(length, self.size - start)))

    def sha256(self) -> str:
        """The sha256 of the bytes."""
        digest = hashlib.sha256()
        for block in self._read(0, self.size):
            digest.update(block)
        return digest.hexdigest()

    def _read(self, start: int, length: int) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset + start)
            while length > 0 and (block := file.read(min(length, 1 << 20))):
                length -= len(block)
                yield block


@dataclass(frozen=True, kw_only=True, repr=False)
class Dataset(ABC):
    """Images and masks by id; `splits` maps train, val and test to their ids in order.

    It is a sequence of pairs, image uint8 [H, W, 3] RGB and mask uint8 [H, W], over all splits: `len(dataset)`,
    `dataset[0]`, `dataset["scene000"]`, `for image, mask in dataset`. `dataset.split("val")` is that of one split.

    `labels` names the training split's labels: the masks, or scribbles with most pixels ignored. `notes` are worth
    knowing before a score is believed.
    """

    root: Path
    name: str
    task: Task
    splits: Mapping[str, Sequence[str]]
    labels: Labels = "masks"
    notes: tuple[str, ...] = ()
    most_compared: ClassVar[int | None] = None  # images whose contents are compared; None: all

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, key: int | str) -> tuple[Pixels, Pixels]:
        return self._all()[key]

    def __iter__(self) -> Iterator[tuple[Pixels, Pixels]]:
        return iter(self._all())

    def __bool__(self) -> bool:
        return True

    def split(self, name: str) -> Pairs:
        """The pairs of train, val or test; raises BadInput for another name."""
        if name not in self.splits:
            raise BadInput(f"{self.name} has no split {name}. It has: {', '.join(self.splits)}.")
        return Pairs(self, (self.splits[name],))

    def _all(self) -> Pairs:
        return Pairs(self, tuple(self.splits.values()))

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {len(ids)}" for name, ids in self.splits.items())
        return f"{type(self).__name__}({self.name}: {counts}; {self.task.num_classes} classes)"

    def _repr_html_(self) -> str:
        classes = ", ".join(entry.name for entry in self.task.classes)
        facts = {"images": ", ".join(f"{name} {len(ids)}" for name, ids in self.splits.items()), "classes": classes}
        return facts_table(self.name, facts | {"labels": self.labels, "folder": str(self.root)})

    @abstractmethod
    def has(self, id: str) -> bool:
        """Whether there is an image and a mask of this id."""

    @abstractmethod
    def image_path(self, id: str) -> Path:
        """Where the image is; the path may continue inside a file that holds many images."""

    @abstractmethod
    def mask_path(self, id: str) -> Path:
        """Where the mask is, as `image_path`."""

    @abstractmethod
    def training_path(self, id: str) -> Path:
        """Where the label to train on is, a mask or scribbles."""

    @abstractmethod
    def image(self, id: str) -> Pixels:
        """The image, uint8 [H, W, 3] RGB."""

    @abstractmethod
    def mask(self, id: str) -> Pixels:
        """The label, uint8 [H, W]; raises BadInput for a value that is neither a class nor the ignore index."""

    @abstractmethod
    def scribbles(self, id: str) -> Pixels:
        """The scribbles of a training image, as `mask`."""

    @abstractmethod
    def orientation(self, id: str) -> int:
        """EXIF's orientation of the image, 1 to 8: other than 1, its pixels are not stored upright."""

    @abstractmethod
    def blocks(self, split: str) -> tuple[int, ...]:
        """How many images of the split lie together, in its order."""

    @abstractmethod
    def known(self, split: str) -> Container[str]:
        """The split's ids, to ask for one of them."""

    @abstractmethod
    def fingerprint(self, id: str) -> tuple[str | None, str | None]:
        """The sha256 of image and mask: of the file, or of the pixels where a file holds many; None without one."""

    @abstractmethod
    def stored_images(self) -> Iterator[StoredImage]:
        """Every split's image files; images inside a file that is no archive are left out."""

    @abstractmethod
    def repeated_ids(self, images: Sequence[StoredImage]) -> tuple[list[str], list[str]]:
        """Faults and notes of ids that are there twice and that opening could not see."""

    @abstractmethod
    def digest(self) -> str:
        """A sha256 that changes with the classes, the splits and the files' names and sizes."""

    @abstractmethod
    def size_range(self) -> SizeRange | None:
        """The smallest and the largest (height, width) of all images where an index has them; None to look at each."""

    @abstractmethod
    def missing_labels(self) -> list[str]:
        """A fault for every training image without the labels that are to be trained on."""

    def pair(self, id: str) -> tuple[Pixels, Pixels]:
        """Image and label; raises BadInput when their sizes differ."""
        return self._pair(id, self.mask(id), self.mask_path(id))

    def training_pair(self, id: str) -> tuple[Pixels, Pixels]:
        """Image and label to train on, a mask or scribbles; raises BadInput when their sizes differ."""
        return self._pair(id, self.training_label(id), self.training_path(id))

    def training_label(self, id: str) -> Pixels:
        """The label to train on, a mask or scribbles."""
        return self.mask(id) if self.labels == "masks" else self.scribbles(id)

    def _pair(self, id: str, mask_HW: Pixels, path: Path) -> tuple[Pixels, Pixels]:
        image_HWC = self.image(id)
        if image_HWC.shape[:2] != mask_HW.shape:
            raise BadInput(f"{path}: {size_fault(image_HWC, mask_HW, self.orientation(id))}")
        return image_HWC, mask_HW


@dataclass(frozen=True, eq=False)
class Pairs(Sequence[tuple[Pixels, Pixels]]):
    """The images and masks of some splits, decoded when asked for: by place or by id."""

    dataset: Dataset
    ids: tuple[Sequence[str], ...]

    def __len__(self) -> int:
        return sum(map(len, self.ids))

    @overload
    def __getitem__(self, key: int | str) -> tuple[Pixels, Pixels]: ...

    @overload
    def __getitem__(self, key: slice) -> list[tuple[Pixels, Pixels]]: ...

    def __getitem__(self, key: int | str | slice) -> tuple[Pixels, Pixels] | list[tuple[Pixels, Pixels]]:
        if isinstance(key, slice):
            return [self[place] for place in range(*key.indices(len(self)))]
        if isinstance(key, int):
            return self.dataset.pair(self._id(key))
        if not any(key in ids for ids in self.ids):
            raise KeyError(f"{self.dataset.name} has no image {key} here")
        return self.dataset.pair(key)

    def _id(self, place: int) -> str:
        left = place + len(self) if place < 0 else place
        for ids in self.ids:
            if 0 <= left < len(ids):
                return ids[left]
            left -= len(ids)
        raise IndexError(f"{self.dataset.name}: image {place} of {len(self)}")


def size_fault(image_HWC: Pixels, mask_HW: Pixels, orientation: int) -> str:
    """What to say of an image and a mask of two sizes; `orientation` is EXIF's, which may be the cause."""
    height, width, _ = image_HWC.shape
    sizes = f"{_size(mask_HW)}, but its image is {_size(image_HWC)}"
    if orientation >= 5 and mask_HW.shape == (width, height):
        return (
            f"{sizes} as stored, with EXIF orientation {orientation}, which is not applied: the mask was drawn on the "
            "upright picture. Store the image upright (exiftran -ai, or Pillow's exif_transpose), or turn the mask."
        )
    return f"{sizes}. Make them one size."


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[0]}x{pixels.shape[1]}"
