"""A data set in shards: ids and paths are read from them when asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from hardedge.contracts import read_json
from hardedge.data.classes import read_classes
from hardedge.data.dataset import SPLITS, Dataset, SizeRange, StoredImage
from hardedge.data.decoding import Pixels, read_image, stored_orientation
from hardedge.data.labels import read_labels
from hardedge.data.native import VAL_IS_TEST
from hardedge.data.shards import (
    INDEX,
    MASK,
    SCRIBBLES,
    Members,
    Shard,
    ShardedIds,
    ShardIndex,
    Shards,
    image_extension,
    read_table,
)
from hardedge.data.split_lists import shared_ids, val_is_test
from hardedge.errors import BadInput

MOST_COMPARED: Final = 200_000  # images: 20 s and 60 MB


@dataclass(frozen=True, kw_only=True, repr=False)
class ShardedDataset(Dataset):
    """Paths are members of tars; contents are read through `shards`."""

    most_compared: ClassVar[int | None] = MOST_COMPARED

    shards: Shards
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    table: Pixels | None  # of mask values that are not class indices

    def has(self, id: str) -> bool:
        return id in self.images and id in self.masks

    def image_path(self, id: str) -> Path:
        return self.images[id]

    def mask_path(self, id: str) -> Path:
        return self.masks[id]

    def training_path(self, id: str) -> Path:
        return self.mask_path(id) if self.labels == "masks" else self._scribbles_path(id)

    def image(self, id: str) -> Pixels:
        path = self.image_path(id)
        return read_image(path, self.shards.content(path))

    def mask(self, id: str) -> Pixels:
        path = self.mask_path(id)
        return read_labels(self.task, path, self.shards.content(path), self.table)

    def scribbles(self, id: str) -> Pixels:
        path = self._scribbles_path(id)
        return read_labels(self.task, path, self.shards.content(path))

    def orientation(self, id: str) -> int:
        path = self.image_path(id)
        return stored_orientation(path, self.shards.content(path))

    def blocks(self, split: str) -> tuple[int, ...]:
        """The images of each shard lie together."""
        return tuple(shard.images for shard in self.shards.index.splits[split])

    def known(self, split: str) -> Sequence[str]:
        return self.splits[split]

    def fingerprint(self, id: str) -> tuple[str | None, str | None]:
        image, mask = (self.shards.content(path) for path in (self.image_path(id), self.mask_path(id)))
        return hashlib.sha256(image).hexdigest(), hashlib.sha256(mask).hexdigest()

    def stored_images(self) -> Iterator[StoredImage]:
        """Reads where the members of every shard are, 0.1 ms an image; raises BadInput for a damaged shard."""
        for split, shards in self.shards.index.splits.items():
            for shard in shards:
                path = self.root / shard.file
                for id, members in read_table(path, shard.images).members.items():
                    yield StoredImage(split, id, path, *members[image_extension(members)])

    def repeated_ids(self, images: Sequence[StoredImage]) -> tuple[list[str], list[str]]:
        counts = Counter((image.split, image.id) for image in images)
        splits = {split: [id for other, id in counts if other == split] for split in SPLITS}
        faults = [f"{split}: {id} is there {count} times" for (split, id), count in counts.items() if count > 1]
        return [*faults, *shared_ids(splits, "{}")], [VAL_IS_TEST] if val_is_test(splits) else []

    def digest(self) -> str:
        """A sha256 over the classes and the index, which has the sha256 of every shard."""
        return self.shards.digest()

    def size_range(self) -> SizeRange:
        return self.shards.index.smallest, self.shards.index.largest

    def missing_labels(self) -> list[str]:
        without = "train: the shards have no scribbles (draw them with hardedge scribbles before prepare)"
        return [] if self.shards.index.scribbles else [without]

    def _scribbles_path(self, id: str) -> Path:
        mask = self.mask_path(id)
        return mask.with_name(f"{mask.name.partition('.')[0]}.{SCRIBBLES}")


def read_shards(root: Path) -> tuple[ShardedDataset, list[str]]:
    """The data set and every fault that shows without reading a shard; raises BadInput for a faulty index."""
    classes, index = read_classes(root), read_json(ShardIndex, root / INDEX)
    if set(index.splits) != set(SPLITS) or not all(index.splits.values()):
        raise BadInput(f"{root / INDEX}: expected shards of train, val and test. Prepare the data set again.")
    shards = Shards(root, index)
    dataset = ShardedDataset(
        root=root,
        name=index.name,
        task=classes.task,
        table=classes.table,
        splits={split: ShardedIds(shards, split, range(shards.starts[split][-1])) for split in SPLITS},
        images=Members(shards),
        masks=Members(shards, MASK),
        shards=shards,
    )
    return dataset, [fault for each in index.splits.values() for shard in each if (fault := _fault(root, shard))]


def _fault(root: Path, shard: Shard) -> str | None:
    path = root / shard.file
    if not path.is_file():
        return f"{shard.file}: missing"
    found = path.stat().st_size
    if found == shard.bytes:
        return None
    try:
        read_table(path, shard.images)
    except BadInput as error:
        return f"{found} bytes, expected {shard.bytes}: {error}"
    return f"{shard.file}: {found} bytes, expected {shard.bytes}. Copy the shard again."
