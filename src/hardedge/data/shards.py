"""Data in shards: WebDataset's tars beside an index, read where they lie. The images are never listed in memory."""

from __future__ import annotations

import hashlib
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, Literal, TypeAlias, overload
from urllib.parse import unquote

from hardedge.contracts import Contract
from hardedge.data.dataset import SHOWN, SPLITS
from hardedge.errors import BadInput, faults_error
from hardedge.names import id_faults, require_path, require_text

INDEX: Final = "shards.json"
MASK, SCRIBBLES = "mask.png", "scribbles.png"
KEPT: Final = 20  # tables of shards in memory: the 16 that a training shuffles together, and some more

Place: TypeAlias = tuple[int, int]  # offset and length of a member's bytes in its tar


@dataclass(frozen=True, kw_only=True)
class Shard(Contract):
    """One tar: its image-mask pairs, its length in bytes and their sha256, and the order of its first id."""

    file: str
    images: int
    bytes: int
    sha256: str
    first: str

    def __post_init__(self) -> None:
        require_path("shard", self.file)


@dataclass(frozen=True, kw_only=True)
class ShardIndex(Contract):
    """What the shards hold: by split, in order; the smallest and the largest height and width of all images."""

    form: Literal["hardedge-shards-1"]
    name: str
    scribbles: bool
    smallest: tuple[int, int]
    largest: tuple[int, int]
    splits: dict[str, tuple[Shard, ...]]

    def __post_init__(self) -> None:
        require_text("data set", self.name)


@dataclass(frozen=True)
class Table:
    """What one shard holds: its ids in order, and where each one's members are, by extension."""

    ids: tuple[str, ...]
    members: dict[str, dict[str, Place]]


def shard_order(id: str) -> str:
    """What ids are ordered by: as good as random, so a shard is a sample of the whole, and an id is found by it."""
    return hashlib.sha256(id.encode()).hexdigest()


def member_name(id: str, extension: str) -> str:
    """WebDataset's: the key ends at the first dot, so an id's own dots and slashes are written as %2E and %2F."""
    key = id.replace("%", "%25").replace(".", "%2E").replace("/", "%2F")
    return f"{key}.{extension}"


class Shards:
    """The shards of a data set, of which the tables of the last few that were asked for are kept."""

    def __init__(self, root: Path, index: ShardIndex) -> None:
        self.root, self.index = root, index
        self.starts = {
            split: tuple(accumulate((shard.images for shard in shards), initial=0))
            for split, shards in index.splits.items()
        }
        self._firsts = {split: [shard.first for shard in shards] for split, shards in index.splits.items()}
        self._by_file = {shard.file: shard for shards in index.splits.values() for shard in shards}
        self._tables: dict[str, Table] = {}

    def id_at(self, split: str, place: int) -> str:
        """The id at a place of the split, counted from 0."""
        number = bisect_right(self.starts[split], place) - 1
        return self.table(self.index.splits[split][number]).ids[place - self.starts[split][number]]

    def place_of(self, split: str, id: str) -> int | None:
        """The place of an id in the split; None when it is not there."""
        number = max(0, bisect_right(self._firsts[split], shard_order(id)) - 1)
        ids = self.table(self.index.splits[split][number]).ids
        return self.starts[split][number] + ids.index(id) if id in ids else None

    def path(self, id: str, extension: str | None) -> Path | None:
        """The member of an id as a path inside its tar: its image without an extension; None for an unknown id."""
        for file, table in reversed(list(self._tables.items())):
            if id in table.members:
                found = table.members[id]
                return self.root / file / member_name(id, extension or image_extension(found))
        # another shard than the last ones: of evaluation first, as these are few
        held = (split for split in reversed(SPLITS) if self.place_of(split, id) is not None)
        return self.path(id, extension) if next(held, None) else None

    def table(self, shard: Shard) -> Table:
        """Where the members of a shard are; raises BadInput naming the shard and the member where it is damaged."""
        known = self._tables.get(shard.file)
        if known is None:
            known = self._tables[shard.file] = read_table(self.root / shard.file, shard.images)
            for oldest in list(self._tables)[:-KEPT]:
                self._tables.pop(oldest, None)
        return known

    def content(self, path: Path) -> bytes:
        """The bytes of a member; raises BadInput when the shard ends before it does."""
        file = path.parent.relative_to(self.root).as_posix()
        key, _, extension = path.name.partition(".")
        found = self.table(self._by_file[file]).members[unquote(key)].get(extension)
        if found is None:
            raise BadInput(f"{path}: no such member in the shard. Prepare the data set again.")
        offset, length = found
        with path.parent.open("rb") as tar:
            tar.seek(offset)
            content = tar.read(length)
        if len(content) < length:
            raise BadInput(f"{path}: the shard ends within this member. Copy the shard again, or prepare it anew.")
        return content

    def digest(self) -> str:
        """A sha256 over the classes and the index, which has that of every shard."""
        described = (self.root / "classes.json").read_bytes() + (self.root / INDEX).read_bytes()
        return hashlib.sha256(described).hexdigest()


class ShardedIds(Sequence[str]):
    """The ids of a split, or of some of its places, each read from its shard when it is asked for."""

    def __init__(self, shards: Shards, split: str, places: range) -> None:
        self._shards, self._split, self._places = shards, split, places

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> ShardedIds: ...

    def __getitem__(self, place: int | slice) -> str | ShardedIds:
        if isinstance(place, slice):
            return ShardedIds(self._shards, self._split, self._places[place])
        return self._shards.id_at(self._split, self._places[place])

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._shards.place_of(self._split, id) in self._places


class Members(Mapping[str, Path]):
    """Where the image of every id is, or its member of one extension, as a path inside its tar."""

    def __init__(self, shards: Shards, extension: str | None = None) -> None:
        self._shards, self._extension = shards, extension

    def __getitem__(self, id: str) -> Path:
        path = self._shards.path(id, self._extension)
        if path is None:
            raise KeyError(id)
        return path

    def __iter__(self) -> Iterator[str]:
        for split, starts in self._shards.starts.items():
            yield from ShardedIds(self._shards, split, range(starts[-1]))

    def __len__(self) -> int:
        return sum(starts[-1] for starts in self._shards.starts.values())


def read_table(path: Path, images: int) -> Table:
    """Where each member of a tar is; raises BadInput unless it can be walked to its end and has so many images."""
    members: dict[str, dict[str, Place]] = {}
    last, reason = "its beginning", "it ends there"
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                members.setdefault(unquote(key), {})[extension] = (member.offset_data, member.size)
                last = f"member {member.name}"
    except (tarfile.TarError, OSError, EOFError, UnicodeError) as error:
        reason = str(error)
    faults = id_faults(str(path), members)
    if faults:
        raise faults_error(f"{path} cannot be used", faults[:SHOWN], "Prepare the data set again.")
    whole = [id for id, found in members.items() if MASK in found and len(found) > 1]
    if len(whole) != images or len(members) != images:
        raise BadInput(
            f"{path}: damaged at or after {last}: {len(whole)} of its {images} pairs can be found ({reason}). "
            "Copy the shard again, or prepare it anew."
        )
    return Table(tuple(members), members)


def image_extension(members: Mapping[str, Place]) -> str:
    """The extension of an id's image among its members."""
    return next(extension for extension in members if extension not in (MASK, SCRIBBLES))
