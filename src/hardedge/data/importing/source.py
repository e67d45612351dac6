"""What a reader of a format returns: the labels that it knows, and each image with what is labelled in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from hardedge.data.importing.areas import Area
from hardedge.errors import BadInput, faults_error

Values = npt.NDArray[np.int64]
Order = Literal["area", "file", "priority"]
Fate = Literal["fill", "ignore", "drop"]
Color: TypeAlias = tuple[int, int, int]
Picture: TypeAlias = Path | Callable[[], bytes]
BENEATH = -(1 << 31)  # the rank of what is painted first
CLEARED = ""  # the label of a region that takes others away
SHOWN = 20


@dataclass(frozen=True)
class Label:
    """A class as the source names it, with its colour there."""

    name: str
    color: Color | None = None


@dataclass(frozen=True)
class Region:
    """One labelled region, CLEARED, or ignored (None); a higher rank is painted later. `where`: its file and line."""

    label: str | None
    area: Area
    where: object
    rank: int = 0


@dataclass(frozen=True)
class Raster:
    """A label image: `read` returns its values [H, W]; each is a label, ignored, or unlabelled, or else a fault."""

    read: Callable[[], Values]
    labels: Mapping[int, str]
    where: object
    ignored: frozenset[int] = frozenset()
    unlabelled: frozenset[int] = frozenset()
    shown: Callable[[int], str] = str  # a value in words


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image: its name in the source, its file or what returns its bytes, the size (height, width) if it is told."""

    name: str
    image: Picture
    where: object
    size: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    raster: Raster | None = None
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """All that was read; `order` is how overlaps are painted unless the user says."""

    labels: tuple[Label, ...]
    samples: tuple[Sample, ...]
    order: Order = "file"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says of the source (docs/import.md)."""

    images: Path | None = None
    masks: Path | None = None
    classes: tuple[str, ...] = ()
    table: tuple[tuple[str, str], ...] = ()  # a value or a colour, and its label
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    unlabelled: str | None = None
    order: Order | None = None
    boxes: Fate = "ignore"
    crowds: Fate = "fill"
    interpolated: Fate = "fill"
    threshold: int | None = None
    exif: Literal["apply", "note"] = "apply"
    link: bool = False
    skip_missing: bool = False


@dataclass
class Found:
    """What is found on the way: faults, what is left out and why, and the files that were read."""

    faults: list[str] = field(default_factory=list)
    notes: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # what was done, to what, why
    files: list[Path] = field(default_factory=list)

    def fault(self, where: object, problem: object) -> None:
        self.faults.append(f"{where}: {problem}" if len(self.faults) < SHOWN else f"{problem}")

    def note(self, done: str, what: str, why: str, count: int = 1) -> None:
        self.notes[done, what, why] += count

    def require_none(self, source: Path, cure: str = "Correct them, and import again. Nothing was written.") -> None:
        """Raises BadInput with all faults, if there are any."""
        if self.faults:
            more = [f"and {len(self.faults) - SHOWN} more"] if len(self.faults) > SHOWN else []
            raise faults_error(f"{source} cannot be imported", [*self.faults[:SHOWN], *more], cure)


def settled(found: Found, region: Region, fate: Fate, what: str, why: str) -> tuple[Region, ...]:
    """The region as an option wants it: as it is, ignored and beneath all others, or not at all; told in the table."""
    if fate == "fill":
        return (region,)
    if fate == "drop":
        found.note("dropped", what, why)
        return ()
    found.note("ignored", what, why)
    return (Region(None, region.area, region.where, BENEATH),)


def unreadable(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path} cannot be read ({error}). Get the file anew.")
