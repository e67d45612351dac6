"""A data set written in shards: for more images than fit a folder, or lists in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Final

from hardedge.artefact import require_free, staged_directory
from hardedge.console import progress_bar
from hardedge.contracts import sha256_of, to_json
from hardedge.data.classes import FILE, read_classes, table_as_values
from hardedge.data.content import require_usable_data
from hardedge.data.dataset import SPLITS, Dataset
from hardedge.data.decoding import IMAGE_SUFFIXES, Pixels
from hardedge.data.opening import open_dataset
from hardedge.data.sharded_dataset import ShardedDataset
from hardedge.data.shards import INDEX, MASK, SCRIBBLES, Shard, ShardIndex, member_name, shard_order
from hardedge.errors import BadInput, missing_extra
from hardedge.paths import StrPath, local_paths

AT_ONCE: Final = 32  # pairs that are read side by side; what is in memory


@dataclass(frozen=True)
class Member:
    """What a shard holds of one id: the bytes of each file by extension, and the image's height and width."""

    id: str
    files: dict[str, bytes]
    size: tuple[int, int]


def write_shards(
    data: StrPath, out: StrPath, *, shards: int | None = None, shard_size: int | None = None
) -> ShardIndex:
    """Writes the data set as WebDataset tars with an index, all or nothing; returns the index.

    `shards` is how many the training split becomes, of about as many images each, `shard_size` how many images one
    holds, of which one is given; the other splits' shards hold as many. Image files are copied as they are, labels
    become class indices in PNGs, scribbles come along. Each split is in the order of its ids' sha256. Raises BadInput
    for data that cannot be used, a pair that cannot be read, and `out` that exists; Unavailable without webdataset.
    """
    data, out = local_paths((data, out))
    try:
        import webdataset  # noqa: F401  # asked for before any work
    except ImportError:
        raise missing_extra("webdataset", "shards") from None
    require_free(out, None, [data])
    dataset = open_dataset(data)
    require_usable_data(dataset)
    if isinstance(dataset, ShardedDataset):
        raise BadInput(f"{data} is in shards already. Give the folder that they were made of.")
    size = shard_size or _size_for(shards or 1, len(set(dataset.splits["train"])))
    with staged_directory(out, force=None) as fresh:
        (fresh / "shards").mkdir()
        (fresh / FILE).write_text(_classes_json(dataset), encoding="utf-8")
        writer = _Writer(dataset, fresh, (data / "scribbles").is_dir())
        parts = {split: shards if split == "train" else None for split in SPLITS}
        index = writer.index({split: tuple(writer.split(split, size, parts[split])) for split in SPLITS})
        (fresh / INDEX).write_text(to_json(index), encoding="utf-8")
    return index


def _classes_json(dataset: Dataset) -> str:
    """The classes, and what mask values mean where a folder says so: its masks are copied as they are."""
    described = dataset.root / FILE
    table = read_classes(dataset.root).table if described.is_file() else None
    if table is None:
        return to_json(dataset.task)
    return json.dumps({**json.loads(to_json(dataset.task)), "values": table_as_values(table)}, indent=1)


def _size_for(shards: int, images: int) -> int:
    if shards > images:
        raise BadInput(f"--shards {shards}, but the training split has {images} images. Give at most as many.")
    return -(-images // shards)


class _Writer:
    """Writes the shards of one data set, and remembers the smallest and largest images."""

    def __init__(self, dataset: Dataset, out: Path, scribbles: bool) -> None:
        self.dataset, self.out, self.scribbles = dataset, out, scribbles
        self.heights: set[int] = set()
        self.widths: set[int] = set()

    def index(self, splits: dict[str, tuple[Shard, ...]]) -> ShardIndex:
        return ShardIndex(
            form="hardedge-shards-1",
            name=self.dataset.name,
            scribbles=self.scribbles,
            smallest=(min(self.heights), min(self.widths)),
            largest=(max(self.heights), max(self.widths)),
            splits=splits,
        )

    def split(self, split: str, size: int, shards: int | None) -> Iterator[Shard]:
        ids = sorted(dict.fromkeys(self.dataset.splits[split]), key=shard_order)
        starts = [*range(0, len(ids), size)] if shards is None else [len(ids) * n // shards for n in range(shards)]
        parts = [ids[start:end] for start, end in pairwise([*starts, len(ids)])]
        for number, part in enumerate(progress_bar(parts, f"shards of {split}")):
            yield self._shard(f"shards/{split}-{number:06d}.tar", part, with_scribbles=split == "train")

    def _shard(self, file: str, ids: list[str], *, with_scribbles: bool) -> Shard:
        from webdataset import TarWriter

        path = self.out / file
        with path.open("wb") as stream, TarWriter(stream, encoder=False, mtime=0, format="PAX_FORMAT") as tar:
            for member in self._members(ids, with_scribbles and self.scribbles):
                key = member_name(member.id, "").removesuffix(".")
                tar.write({"__key__": key, **member.files})
                self.heights.add(member.size[0])
                self.widths.add(member.size[1])
        return Shard(
            file=file, images=len(ids), bytes=path.stat().st_size, sha256=sha256_of(path), first=shard_order(ids[0])
        )

    def _members(self, ids: list[str], scribbles: bool) -> Iterable[Member]:
        with ThreadPoolExecutor() as pool:
            parts = (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
            yield from chain.from_iterable(
                pool.map(lambda id: _member(self.dataset, id, scribbles), part) for part in parts
            )


def _member(dataset: Dataset, id: str, scribbles: bool) -> Member:
    image_HWC, mask_HW = dataset.pair(id)
    path = dataset.image_path(id)
    copied = path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES
    files = {path.suffix.lower()[1:]: path.read_bytes()} if copied else {"png": _png(image_HWC)}
    mask = dataset.mask_path(id)
    # a native folder's masks are what they were: a bundle's reference knows their bytes
    native = mask == dataset.root / "masks" / f"{id}.png"
    files[MASK] = mask.read_bytes() if native else _png(mask_HW)
    if scribbles:
        files[SCRIBBLES] = (dataset.root / "scribbles" / f"{id}.png").read_bytes()
    height, width, _ = image_HWC.shape
    return Member(id, files, (height, width))


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()
