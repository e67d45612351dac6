"""A data set as every stage sees it: ids by split, each with an image and a mask that are decoded when asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Task, sha256_of, to_json
from hardedge.errors import BadInput

if TYPE_CHECKING:
    from hardedge.data.shards import Shards

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SHOWN = 20

Pixels = npt.NDArray[np.uint8]
Labels = Literal["masks", "scribbles"]


@dataclass(frozen=True)
class Dataset:
    """Images and masks by id; `splits` maps train, val and test to their ids in order.

    `labels` names the folder that holds the training split's labels: masks/, or scribbles/ with most pixels ignored.
    Files are decoded when asked for, by `decode_image` to uint8 [H, W, 3] and by `decode_mask` to class indices. A path
    may continue inside a file that holds many images. `shards` are what holds them where they are not files; ids and
    paths are then read from them when asked for.
    """

    root: Path
    name: str
    task: Task
    splits: Mapping[str, Sequence[str]]
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    decode_image: Callable[[Path], Pixels]
    decode_mask: Callable[[Path], Pixels]
    labels: Labels = "masks"
    shards: Shards | None = None

    def image_path(self, id: str) -> Path:
        return self.images[id]

    def mask_path(self, id: str) -> Path:
        return self.masks[id]

    def training_path(self, id: str) -> Path:
        if self.labels == "masks":
            return self.mask_path(id)
        if self.shards:
            mask = self.mask_path(id)
            return mask.with_name(f"{mask.name.partition('.')[0]}.{self.labels}.png")
        return self.root / self.labels / f"{id}.png"

    def blocks(self, split: str) -> tuple[int, ...]:
        """How many images of the split lie together, in its order: those of each shard, or all."""
        if self.shards is None:
            return (len(self.splits[split]),)
        return tuple(shard.images for shard in self.shards.index.splits[split])

    def known(self, split: str) -> Container[str]:
        """The split's ids, to ask for one of them."""
        return self.splits[split] if self.shards else frozenset(self.splits[split])

    def image(self, id: str) -> Pixels:
        """The image, uint8 [H, W, 3] RGB."""
        return self.decode_image(self.image_path(id))

    def mask(self, id: str) -> Pixels:
        """The label, uint8 [H, W]; raises BadInput for a value that is neither a class nor the ignore index."""
        return self.decode_mask(self.mask_path(id))

    def pair(self, id: str) -> tuple[Pixels, Pixels]:
        """Image and label; raises BadInput when their sizes differ."""
        return self._pair(id, self.mask(id), self.mask_path(id))

    def training_pair(self, id: str) -> tuple[Pixels, Pixels]:
        """Image and label to train on, from masks/ or scribbles/; raises BadInput when their sizes differ."""
        if self.labels == "masks":
            return self.pair(id)
        path = self.training_path(id)
        content = self.shards.content(path) if self.shards else None
        return self._pair(id, read_labels(self.task, path, content), path)

    def _pair(self, id: str, mask_HW: Pixels, path: Path) -> tuple[Pixels, Pixels]:
        image_HWC = self.image(id)
        if image_HWC.shape[:2] != mask_HW.shape:
            raise BadInput(f"{path}: {_size(mask_HW)}, but its image is {_size(image_HWC)}. Make them one size.")
        return image_HWC, mask_HW

    def fingerprint(self, id: str) -> tuple[str | None, str | None]:
        """The sha256 of image and mask: of the file, or of the pixels where a file holds many; None without one."""
        if self.shards:
            image, mask = (self.shards.content(path) for path in (self.image_path(id), self.mask_path(id)))
            return hashlib.sha256(image).hexdigest(), hashlib.sha256(mask).hexdigest()
        return _sha256(self.image_path(id), self.decode_image), _sha256(self.mask_path(id), self.decode_mask)

    def digest(self) -> str:
        """A sha256 over the classes, the splits, and every used file's name and size (not its content).

        Of shards it is one over the classes and the index, which has the sha256 of each.
        """
        if self.shards:
            return self.shards.digest()
        used = [
            path for ids in self.splits.values() for id in ids for path in (self.image_path(id), self.mask_path(id))
        ]
        if self.labels != "masks":
            used += [self.training_path(id) for id in self.splits["train"]]
        start = len(self.root.parts)
        sizes = [["/".join(path.parts[start:]), _size_of(path)] for path in used]
        described = self.root / "classes.json"
        classes = described.read_text(encoding="utf-8") if described.is_file() else to_json(self.task)
        return hashlib.sha256(json.dumps([classes, self.splits, sizes]).encode()).hexdigest()


def read_image(path: Path, content: bytes | None = None) -> Pixels:
    """An image file, or such a file's bytes, as uint8 [H, W, 3] RGB; raises BadInput when it cannot be decoded."""
    from PIL import Image

    try:
        with Image.open(path if content is None else BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{path} cannot be read as an image ({error}). Replace it, or take it out of its split."
        ) from None


def read_mask(path: Path, content: bytes | None = None) -> Pixels:
    """A mask file, or such a file's bytes, as uint8 [H, W] of class indices.

    Raises BadInput unless it is a single-channel 8-bit image.
    """
    from PIL import Image

    try:
        with Image.open(path if content is None else BytesIO(content)) as image:
            if image.mode not in ("L", "P"):
                raise BadInput(f"{path}: mode {image.mode}, expected an 8-bit PNG of class indices (mode L or P).")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as a mask ({error}). Replace it, or take it out of its split.") from None


def read_labels(task: Task, path: Path, content: bytes | None = None) -> Pixels:
    """A mask whose values are classes of the task or its ignore index; raises BadInput for any other."""
    mask_HW = read_mask(path, content)
    fault = class_fault(mask_HW, task)
    if fault:
        raise BadInput(f"{path}: {fault}. Fix the mask, or add the class to classes.json.")
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


def _size_of(path: Path) -> int:
    """The size of the file, or of the one that holds it."""
    try:
        return path.stat().st_size
    except NotADirectoryError:
        return _size_of(path.parent)


def _sha256(path: Path, decode: Callable[[Path], Pixels]) -> str | None:
    if path.is_file():
        return sha256_of(path)
    inside = any(part.is_file() for part in path.parents)
    return hashlib.sha256(decode(path).tobytes()).hexdigest() if inside else None


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
