"""The same image as several: in two splits it flatters the score, in the test split it counts several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hardedge.data.dataset import Dataset, StoredImage

SHOWN: Final = 3
BLOCK: Final = 4096  # bytes in the middle that tell most files of one size apart


@dataclass(frozen=True)
class Leaks:
    """What images that are there twice say: faults forbid a verdict, notes are worth knowing."""

    faults: tuple[str, ...]
    notes: tuple[str, ...]


def find_leaks(dataset: Dataset) -> Leaks:
    """Compares the contents of image files, of those alone whose sizes and middles are equal; of shards also the ids.

    In a public data set as it is distributed, whose files are not the user's to change, what is found is a note. Images
    inside a file that is no archive are not compared, nor more of a data set's than its `most_compared`. Raises
    BadInput for a damaged shard.
    """
    count = sum(map(len, dataset.splits.values()))
    if dataset.most_compared is not None and count > dataset.most_compared:
        return Leaks((), (f"identical images were not looked for among {count} images in shards",))
    images = list(dataset.stored_images())
    shared, notes = dataset.repeated_ids(images)
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, *others in _same_files(images):
        for other in others:
            across[first.split, other.split].append(f"{first.id} = {other.id}")
    found = [(pair, _words(pair, names)) for pair, names in across.items()]
    own = (dataset.root / "classes.json").is_file()
    faults = tuple(words for pair, words in found if own and _forbids(*pair))
    return Leaks((*shared, *faults), (*notes, *(words for _, words in found if words not in faults)))


def _forbids(first: str, second: str) -> bool:
    return first != second or second == "test"


def _words(pair: tuple[str, str], names: list[str]) -> str:
    first, second = pair
    count = "1 image file is" if len(names) == 1 else f"{len(names)} image files are"
    where = f"twice in {first}" if first == second else f"in {first} and in {second}"
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f"{count} {where} under two names: {shown}. Take one of each out"


def _same_files(images: Sequence[StoredImage]) -> Iterator[list[StoredImage]]:
    """The images whose files have one content, of different ids, by size, then by their middles, then by sha256."""
    groups = [list(images)]
    for key in (lambda image: image.size, lambda image: image.middle(BLOCK), StoredImage.sha256):
        groups = [group for each in groups for group in _divide(each, key)]
    yield from groups


def _divide(images: list[StoredImage], key: Callable[[StoredImage], Hashable]) -> list[list[StoredImage]]:
    alike: dict[Hashable, list[StoredImage]] = defaultdict(list)
    for image in images:
        alike[key(image)].append(image)
    return [group for group in alike.values() if len({image.id for image in group}) > 1]
