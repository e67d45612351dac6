"""Which split each imported image goes to: the source's own, by folders or lists, or dealt so that nothing leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from hardedge.data.dataset import SPLITS
from hardedge.data.importing.documents import lines_of
from hardedge.data.importing.names import split_named
from hardedge.data.importing.source import SHOWN
from hardedge.data.splitting.balance import dealt
from hardedge.data.splitting.groups import Together, group_keys
from hardedge.data.splitting.near_duplicates import Fingerprint, near_duplicates
from hardedge.errors import BadInput, faults_error

DEFAULT = {"train": 80, "val": 10, "test": 10}
Notes = Counter[tuple[str, str, str]]


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """How images are split: shares in percent, by `folder` or a folder of lists, groups that stay together, a seed."""

    ratios: Mapping[str, int] | None = None
    by: str | None = None
    group_by: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Member:
    """An image as the splitter sees it; `placed`: it is in the data set already, in this split."""

    id: str
    name: str
    own: str | None
    present: npt.NDArray[np.bool_]
    fingerprint: Fingerprint
    taken: datetime | None
    placed: str | None = None


@dataclass(frozen=True)
class Division:
    """The split and group of each image, and what is worth knowing of it."""

    splits: list[str]
    groups: list[int]
    notes: Notes = field(default_factory=Counter)


def divided(members: Sequence[Member], splitting: Splitting) -> Division:
    """Splits the images; those of a group, and near duplicates, never part unless the source itself parts them."""
    together = Together(len(members))
    names, times = [member.name for member in members], [member.taken for member in members]
    for rule in splitting.group_by:
        together.join_equal(group_keys(rule, names, times))
    pairs = list(near_duplicates([member.fingerprint for member in members]))
    for first, second in pairs:
        together.join(first, second)
    notes: Notes = Counter()
    if pairs:
        notes["kept together", "image", "it is a near duplicate of another"] = len({i for pair in pairs for i in pair})
    groups = together.groups()
    own = _own(members, splitting, notes)
    if own is None:
        chosen = _dealt(members, groups, [member.placed for member in members], splitting.ratios or DEFAULT, splitting)
    else:
        chosen = _completed(members, groups, own, splitting, notes)
    apart = _apart(groups, chosen)
    if apart:
        why = "it is a near duplicate of, or of one group with, an image of another split (--split parts them anew)"
        notes["leaking", "image of val or test", why] = apart
    return Division(chosen, groups, notes)


def _own(members: Sequence[Member], splitting: Splitting, notes: Notes) -> list[str | None] | None:
    """The splits that the source or --split-by says; None where all images are to be dealt."""
    if splitting.by == "folder":
        return list(_by_folder(members))
    if splitting.by:
        return list(_by_lists(members, Path(splitting.by)))
    own = [member.placed or member.own for member in members]
    fresh = {member.own for member in members if member.placed is None}
    if splitting.ratios or not fresh - {None}:
        if fresh - {None}:
            notes["changed", "split", "the source's own are not used (--split)"] = 1
        return None
    if "train" not in own:
        notes["changed", "split", "the source has no training images: all are dealt anew"] = 1
        return None
    return own


def _by_folder(members: Sequence[Member]) -> list[str]:
    found = [member.placed or member.own or split_named(PurePosixPath(member.name).parts[:-1]) for member in members]
    faults = [
        f"{member.name}: no folder named train, val or test"
        for member, split in zip(members, found, strict=True)
        if not split
    ]
    if faults:
        raise faults_error(
            "--split-by folder", faults[:SHOWN], "Give --split 80/10/10, or a folder with train.txt, val.txt."
        )
    return [split for split in found if split]


def _by_lists(members: Sequence[Member], folder: Path) -> list[str]:
    """By folder/train.txt, val.txt and test.txt: names, with or without folders and suffix."""
    paths = [folder / f"{split}.txt" for split in SPLITS if (folder / f"{split}.txt").is_file()]
    if not paths:
        raise BadInput(
            f"--split-by {folder}: no train.txt, val.txt or test.txt in it. For folders of these names: folder"
        )
    listed_as: dict[str, str] = {}
    faults = []
    for path in paths:
        for number, line in lines_of(path):
            name = PurePosixPath(line.replace("\\", "/")).with_suffix("").as_posix()
            if listed_as.setdefault(name, path.stem) != path.stem:
                faults.append(f"{path}:{number}: {line} is also in {listed_as[name]}.txt")
    found = []
    for member in members:
        names = (PurePosixPath(member.name.replace("\\", "/")).with_suffix("").as_posix(), member.id)
        keys = (*names, PurePosixPath(names[0]).name)
        split = member.placed or next((listed_as[key] for key in keys if key in listed_as), None)
        if split is None:
            faults.append(f"{member.name}: in no list of {folder}")
        found.append(split or "train")
    if faults:
        raise faults_error(f"--split-by {folder}", faults[:SHOWN], "Correct the lists, and import again.")
    return found


def _completed(
    members: Sequence[Member], groups: Sequence[int], own: Sequence[str | None], splitting: Splitting, notes: Notes
) -> list[str]:
    """The own splits, with what has none, and splits that are missing, dealt out of the training images."""
    missing = [split for split in SPLITS if split not in own]
    if not missing and None not in own:
        return [split or "train" for split in own]
    shares = {split: DEFAULT[split] for split in SPLITS if split == "train" or split in missing}
    free = [place for place, split in enumerate(own) if split is None or (split == "train" and missing)]
    held = {groups[place] for place, split in enumerate(own) if split in ("val", "test")}
    held |= {groups[place] for place, member in enumerate(members) if member.placed}
    inner = [place for place in free if groups[place] not in held]
    fixed = [None if place in set(inner) else split for place, split in enumerate(own)]
    parts = _dealt([members[i] for i in inner], [groups[i] for i in inner], [None] * len(inner), shares, splitting)
    for place, split in zip(inner, parts, strict=True):
        fixed[place] = split
    for split in missing:
        notes["changed", f"image to {split}", "dealt from train: the source has no such split"] = parts.count(split)
    near = {groups[place]: split for place, split in enumerate(own) if split}
    return [split or near.get(groups[place], "train") for place, split in enumerate(fixed)]


def _dealt(
    members: Sequence[Member],
    groups: Sequence[int],
    placed: Sequence[str | None],
    ratios: Mapping[str, int],
    splitting: Splitting,
) -> list[str]:
    kept: dict[int, Counter[str]] = {}
    for group, split in zip(groups, placed, strict=True):
        if split:
            kept.setdefault(group, Counter())[split] += 1
    fixed = {group: counts.most_common(1)[0][0] for group, counts in kept.items()}
    present = np.stack([member.present for member in members]) if members else np.zeros((0, 0), bool)
    chosen = dealt(groups, present, {split: float(share) for split, share in ratios.items()}, splitting.seed, fixed)
    return [before or split for before, split in zip(placed, chosen, strict=True)]


def _apart(groups: Sequence[int], splits: Sequence[str]) -> int:
    """How many images of val and test have one of their group in another split."""
    seen: dict[int, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        seen.setdefault(group, set()).add(split)
    return sum(split != "train" and len(seen[group]) > 1 for group, split in zip(groups, splits, strict=True))
