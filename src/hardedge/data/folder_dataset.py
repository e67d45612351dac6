"""A data set whose images and masks are files, or lie inside one file that holds many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardedge.contracts import sha256_of, to_json
from hardedge.data.dataset import Dataset, SizeRange, StoredImage
from hardedge.data.decoding import Pixels, stored_orientation
from hardedge.data.labels import read_labels


@dataclass(frozen=True, kw_only=True, repr=False)
class FolderDataset(Dataset):
    """The path of each image and mask by id, and what decodes them: to uint8 [H, W, 3] and to class indices."""

    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    decode_image: Callable[[Path], Pixels]
    decode_mask: Callable[[Path], Pixels]

    def has(self, id: str) -> bool:
        return id in self.images and id in self.masks

    def image_path(self, id: str) -> Path:
        return self.images[id]

    def mask_path(self, id: str) -> Path:
        return self.masks[id]

    def training_path(self, id: str) -> Path:
        return self.mask_path(id) if self.labels == "masks" else self.root / self.labels / f"{id}.png"

    def image(self, id: str) -> Pixels:
        return self.decode_image(self.image_path(id))

    def mask(self, id: str) -> Pixels:
        return self.decode_mask(self.mask_path(id))

    def scribbles(self, id: str) -> Pixels:
        return read_labels(self.task, self.root / "scribbles" / f"{id}.png")

    def orientation(self, id: str) -> int:
        path = self.image_path(id)
        return stored_orientation(path) if path.is_file() else 1

    def blocks(self, split: str) -> tuple[int, ...]:
        """All images of the split lie together."""
        return (len(self.splits[split]),)

    def known(self, split: str) -> frozenset[str]:
        return frozenset(self.splits[split])

    def fingerprint(self, id: str) -> tuple[str | None, str | None]:
        return _sha256(self.image_path(id), self.decode_image), _sha256(self.mask_path(id), self.decode_mask)

    def stored_images(self) -> Iterator[StoredImage]:
        for split, ids in self.splits.items():
            for id in dict.fromkeys(ids):
                if self.has(id) and (path := self.image_path(id)).is_file():
                    yield StoredImage(split, id, path, 0, path.stat().st_size)

    def repeated_ids(self, images: Sequence[StoredImage]) -> tuple[list[str], list[str]]:
        """None: the lists were read when it was opened."""
        return [], []

    def digest(self) -> str:
        """A sha256 over the classes, the splits, and every used file's name and size (not its content)."""
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

    def size_range(self) -> SizeRange | None:
        return None

    def missing_labels(self) -> list[str]:
        labels = self.labels
        lacking = [id for id in self.splits.get("train", ()) if not self.training_path(id).is_file()]
        return [f"train: {id} has no {labels}/{id}.png (hardedge {labels} draws them)" for id in lacking]


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
