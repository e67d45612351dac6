"""The same file as several images: in two splits it flatters the score, in the test split it counts several times."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from hardedge.contracts import sha256_of
from hardedge.data.dataset import Dataset

SHOWN: Final = 3
BLOCK: Final = 4096  # bytes in the middle that tell most files of one size apart

Named: TypeAlias = tuple[str, str, Path]  # split, id, the image's file


@dataclass(frozen=True)
class Leaks:
    """What identical image files say: faults forbid a verdict, notes are worth knowing."""

    faults: tuple[str, ...]
    notes: tuple[str, ...]


def find_leaks(dataset: Dataset) -> Leaks:
    """Compares the contents of image files, of those alone whose sizes and middles are equal.

    In a public data set as it is distributed, whose files are not the user's to change, what is found is a note. Images
    inside a file that holds many are not compared.
    """
    images = [
        (split, id, path)
        for split, ids in dataset.splits.items()
        for id in dict.fromkeys(ids)
        if dataset.has(id) and (path := dataset.image_path(id)).is_file()
    ]
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, *others in _same_files(images):
        for other in others:
            across[first[0], other[0]].append(f"{first[1]} = {other[1]}")
    found = [(pair, _words(pair, names)) for pair, names in across.items()]
    own = (dataset.root / "classes.json").is_file()
    faults = tuple(words for pair, words in found if own and _forbids(*pair))
    return Leaks(faults, tuple(words for _, words in found if words not in faults))


def _forbids(first: str, second: str) -> bool:
    return first != second or second == "test"


def _words(pair: tuple[str, str], names: list[str]) -> str:
    first, second = pair
    count = "1 image file is" if len(names) == 1 else f"{len(names)} image files are"
    where = f"twice in {first}" if first == second else f"in {first} and in {second}"
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f"{count} {where} under two names: {shown}. Take one of each out"


def _same_files(images: Iterable[Named]) -> Iterator[list[Named]]:
    """The images whose files have one content, of different ids, by size, then by their middles, then by sha256."""
    groups = [list(images)]
    for key in (_size, _middle, sha256_of):
        groups = [group for each in groups for group in _divide(each, key)]
    yield from groups


def _divide(images: list[Named], key: Callable[[Path], Hashable]) -> list[list[Named]]:
    alike: dict[Hashable, list[Named]] = defaultdict(list)
    for image in images:
        alike[key(image[2])].append(image)
    return [group for group in alike.values() if len({id for _, id, _ in group}) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size // 2 - BLOCK // 2))
        return file.read(BLOCK)
