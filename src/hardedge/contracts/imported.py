"""What an import writes beside the data set: where its images and masks come from, and what was done to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from hardedge.contracts.base import Contract, Count


@dataclass(frozen=True, kw_only=True)
class ImportedLabel(Contract):
    """A label of the source, the class that it became (null: ignored or dropped), and how many regions had it."""

    label: str
    becomes: str | None
    how: Literal["class", "ignored", "dropped"]
    regions: Count


@dataclass(frozen=True, kw_only=True)
class ImportNote(Contract):
    """A line of the table: what was done (read, merged, dropped, ignored, overlapped, changed), to what, and why."""

    done: str
    what: str
    count: Count
    why: str


@dataclass(frozen=True, kw_only=True)
class ImportedImage(Contract):
    """An image: its id, its name in the source, digests of its file and of the mask, its split and group (a number)."""

    id: str
    name: str
    image_sha256: str
    mask_sha256: str
    split: Literal["train", "val", "test"]
    group: Count


@dataclass(frozen=True, kw_only=True)
class ImportedSplit(Contract):
    """What a split got: its images and groups, and how many of its images have each class."""

    name: str
    images: Count
    groups: Count
    classes: dict[str, Count]


@dataclass(frozen=True, kw_only=True)
class Import(Contract):
    """One import: the format and place of the source, the version that read it, its files with their sha256.

    `images` and `splits` are those of this import; `pixels` are counted by class, the ignored ones by "".
    """

    format: str
    source: str
    hardedge: str
    options: dict[str, str]
    files: dict[str, str]
    labels: tuple[ImportedLabel, ...]
    notes: tuple[ImportNote, ...]
    images: tuple[ImportedImage, ...]
    splits: tuple[ImportedSplit, ...]
    pixels: dict[str, Count]


@dataclass(frozen=True, kw_only=True)
class Imports(Contract):
    """import.json in a data set's folder: every import into it, in order."""

    FILE: ClassVar[str] = "import.json"
    SCHEMA: ClassVar[str] = "hardedge.import/1"

    schema_id: str
    imports: tuple[Import, ...]
