"""What the readers of public data sets share: pairs of files by split, labels through a table, a held-out split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hardedge.contracts import ClassInfo, Task
from hardedge.data.dataset import SPLITS
from hardedge.data.decoding import IMAGE_SUFFIXES, Pixels, read_image, read_mask
from hardedge.data.folder_dataset import FolderDataset
from hardedge.data.labels import UNKNOWN, looked_up
from hardedge.errors import BadInput
from hardedge.names import id_faults

IGNORED = 255
HELD_OUT, MOST_HELD_OUT = 20, 500

Reader: TypeAlias = Callable[[Path], Pixels]
Pair: TypeAlias = tuple[Path, Path]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The image and label of every id by split, how they are read, and what was looked for to list a split.

    Without val, it is held out of train. A path may continue inside a file that holds many images:
    nyu_depth_v2_labeled.mat/images/0001.
    """

    pairs: Mapping[str, Mapping[str, Pair]]
    looked_for: Mapping[str, str]
    read_label: Reader
    read_image: Reader = read_image


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A public data set as it is distributed: any of `marks` below a folder tells it; `note` says what its splits are.

    `find` lists a folder's pairs without decoding any; it may raise BadInput or Unavailable.
    """

    name: str
    marks: tuple[str, ...]
    task: Task
    note: str
    find: Callable[[Path], Listing]


def read_layout(layout: Layout, root: Path) -> tuple[FolderDataset, list[str]]:
    """The data set and every fault that shows without decoding an image; raises what the layout's `find` raises."""
    listing = layout.find(root)
    pairs = _with_val(listing.pairs)
    together = {id: pair for of_split in pairs.values() for id, pair in of_split.items()}
    dataset = FolderDataset(
        root=root,
        name=layout.name,
        task=layout.task,
        splits={split: tuple(pairs[split]) for split in SPLITS},
        images={id: image for id, (image, _) in together.items()},
        masks={id: mask for id, (_, mask) in together.items()},
        decode_image=listing.read_image,
        decode_mask=listing.read_label,
    )
    faults = [f"{listing.looked_for[split]}: none" for split in listing.looked_for if not listing.pairs[split]]
    if not faults and not all(pairs.values()):
        faults.append(f"{listing.looked_for['train']}: too few to hold some out for validation")
    faults += id_faults(layout.name, together)
    uses = Counter(id for of_split in pairs.values() for id in of_split)
    faults += [f"{id}: in {count} splits; an image belongs to one" for id, count in uses.items() if count > 1]
    return dataset, faults + [f"{path.relative_to(root).as_posix()}: missing" for path in _absent(together.values())]


def _with_val(pairs: Mapping[str, Mapping[str, Pair]]) -> dict[str, Mapping[str, Pair]]:
    if "val" in pairs:
        return dict(pairs)
    train = pairs["train"]
    val = take_evenly(tuple(train), min(max(len(train) // HELD_OUT, 1), MOST_HELD_OUT)) if len(train) > 1 else ()
    return {**pairs, "train": without(train, val), "val": {id: train[id] for id in val}}


def take_evenly(ids: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` of the ids, evenly spaced."""
    return tuple(ids[place * len(ids) // count] for place in range(count))


def without(pairs: Mapping[str, Pair], ids: Iterable[str]) -> dict[str, Pair]:
    """The pairs of all other ids."""
    left_out = set(ids)
    return {id: pair for id, pair in pairs.items() if id not in left_out}


def _absent(pairs: Iterable[Pair]) -> Iterator[Path]:
    """The files that are not there; each folder is listed once, which is faster than a question for each file."""
    listed: dict[Path, set[Path]] = {}
    for path in (path for pair in pairs for path in pair):
        if path.parent not in listed:
            listed[path.parent] = set(path.parent.iterdir()) if path.parent.is_dir() else set()
        # inside a file: whoever listed it has looked
        if path not in listed[path.parent] and not path.parents[1].is_file():
            yield path


def images_below(folder: Path, pattern: str = "*") -> list[Path]:
    """The image files of a folder that match a pattern, in order."""
    return sorted(
        path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
    )


def names_in(path: Path) -> list[str]:
    """The first word of each line that is neither empty nor a comment; none where there is no such file.

    Raises BadInput for a file that is no UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}). Get the file anew.") from None
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def task_of(names: Sequence[str], colors: Sequence[tuple[int, int, int]]) -> Task:
    """The classes in order, ignore index 255."""
    classes = [ClassInfo(name=name, color=color) for name, color in zip(names, colors, strict=True)]
    return Task(classes=tuple(classes), ignore_index=IGNORED)


def distinct_colors(count: int, first: int = 1) -> list[tuple[int, int, int]]:
    """The colours `first` and on of PASCAL VOC's colour map, whose bits are dealt to red, green and blue in turn."""
    return [_color(index) for index in range(first, first + count)]


def _color(index: int) -> tuple[int, int, int]:
    bits = [index >> bit & 1 for bit in range(8)]
    red, green, blue = (sum(bit << (7 - place) for place, bit in enumerate(bits[channel::3])) for channel in range(3))
    return red, green, blue


def table_of(classes: Mapping[int, int], size: int = 256) -> Pixels:
    """The class index (or 255) of each label value, uint8 [size]; UNKNOWN for values that are not given."""
    table = np.full(size, UNKNOWN, np.uint8)
    table[list(classes)] = list(classes.values())
    return table


def label_reader(table: Pixels) -> Reader:
    """Reads 8-bit labels and looks them up; raises BadInput for values that the table does not know."""
    return partial(_read_through, table)


def _read_through(table: Pixels, path: Path) -> Pixels:
    return looked_up(read_mask(path), table, path)
