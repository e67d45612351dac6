"""splits/*.txt: the ids of each split, read where a line can mean one image only."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path, PurePosixPath

from hardedge.data.dataset import SPLITS
from hardedge.data.decoding import IMAGE_SUFFIXES
from hardedge.names import id_faults

SUGGESTED = 5  # unknown names of a list whose nearest one is looked for


def read_splits(root: Path, known: Collection[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The ids of train, val and test, and a fault for every list that is missing, empty, or names an id twice.

    `known` are the ids of the images and masks that are there. A line is an id, with or without suffix or folder, or
    the paths of an image and its mask side by side.
    """
    splits, faults = {}, []
    for split in SPLITS:
        path = root / "splits" / f"{split}.txt"
        if not path.is_file():
            faults.append(f"splits/{split}.txt: missing (with two splits only, copy val.txt to test.txt)")
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeError) as error:
            faults.append(f"splits/{split}.txt: cannot be read ({error}); write it as UTF-8 text, one id a line")
            continue
        ids = [id for line in lines if line.strip() for id in ids_of(line.strip(), known)]
        if not ids:
            faults.append(f"splits/{split}.txt: empty")
        faults += [f"splits/{split}.txt: {id} is named twice" for id in _twice(ids)]
        faults += id_faults(f"splits/{split}.txt", dict.fromkeys(ids))
        splits[split] = tuple(ids)
    return splits, faults + shared_ids(splits)


def ids_of(line: str, known: Collection[str]) -> list[str]:
    """The id that a line means, or several where each word is one; the line itself where nothing is known of it."""
    if whole := _known_id(line, known):
        return [whole]
    columns = [_known_id(word, known) for word in re.split(r"[\s,;]+", line)]
    found = [id for id in columns if id is not None]
    if len(found) < len(columns):
        return [line]
    # an image and its mask, as PaddleSeg lists them, are one pair
    return found[:1] if len(found) == 2 and found[0] == found[1] else found


def id_of(path: Path) -> str:
    """A file's id: its name without the suffix, in the form of Unicode that macOS's file systems take apart."""
    return unicodedata.normalize("NFC", path.stem)


def nearest(id: str, known: Collection[str]) -> str:
    """The known id that is most like one that is not, in words; empty where none is."""
    found = get_close_matches(id, known, n=1, cutoff=0.7)
    return f" (nearest: {found[0]})" if found else ""


def val_is_test(splits: Mapping[str, Sequence[str]]) -> bool:
    """Whether both lists have the same ids, as with a data set of two splits."""
    return "val" in splits and "test" in splits and set(splits["val"]) == set(splits["test"])


def shared_ids(splits: Mapping[str, Sequence[str]], named: str = "splits/{}.txt") -> list[str]:
    """A fault for every id in two splits, but for a test split that is the validation split as a whole."""
    faults = []
    for (first, ids), (second, others) in combinations(splits.items(), 2):
        if (first, second) == ("val", "test") and val_is_test(splits):
            continue
        both = sorted({*ids} & {*others})
        faults += [f"{named.format(second)}: {id} is also in {named.format(first)}" for id in both]
    return faults


def _known_id(word: str, known: Collection[str]) -> str | None:
    """The id that a name means: as it is, composed, without folder and image suffix; None where none is known."""
    composed = unicodedata.normalize("NFC", word)
    name = PurePosixPath(composed.replace("\\", "/"))
    bare = name.stem if name.suffix.lower() in IMAGE_SUFFIXES else name.name
    return next((id for id in (composed, name.name, bare) if id in known), None)


def _twice(ids: Sequence[str]) -> list[str]:
    return sorted(id for id, count in Counter(ids).items() if count > 1)
