"""What `check` advises: turned images, sizes, ignored pixels, rare classes, images that are nearly the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hardedge.data.checking.counts import Pair, SplitCount
from hardedge.data.splitting.near_duplicates import near_duplicates

RARE: Final = 0.001  # of the labelled training pixels
MOSTLY_IGNORED: Final = 0.5
MOST_COMPARED: Final = 4000  # images: the time of near duplicates grows with their square
SHOWN: Final = 3


def advice_notes(split_of: Mapping[str, str], pairs: Mapping[str, Pair], counts: Sequence[SplitCount]) -> list[str]:
    """One note a cause; `split_of` has the split of each id that is in one."""
    return [
        *_turned_notes(pairs),
        *_size_notes(pairs),
        *_ignored_notes(counts),
        *_rare_notes(counts),
        *_similar_notes(split_of, pairs),
    ]


def shown(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _turned_notes(pairs: Mapping[str, Pair]) -> list[str]:
    turned = [f"{id} ({pair.orientation})" for id, pair in pairs.items() if pair.orientation != 1]
    if not turned:
        return []
    return [
        f"{len(turned)} images with an EXIF orientation, which is not applied: {shown(turned)}. Masks must fit the "
        "pixels as stored; where they were drawn on the upright pictures, store these upright (exiftran -ai)"
    ]


def _size_notes(pairs: Mapping[str, Pair]) -> list[str]:
    sizes = sorted({pair.size for pair in pairs.values() if pair.size})
    if len(sizes) < 2:
        return []
    (height, width), (other_height, other_width) = sizes[0], sizes[-1]
    return [f"images of {len(sizes)} sizes, from {height}x{width} to {other_height}x{other_width}"]


def _ignored_notes(counts: Sequence[SplitCount]) -> list[str]:
    shares = {split.name: split.ignored / max(split.ignored + split.labelled, 1) for split in counts}
    return [
        f"{name}: {share:.0%} of the pixels are ignored" for name, share in shares.items() if share > MOSTLY_IGNORED
    ]


def _rare_notes(counts: Sequence[SplitCount]) -> list[str]:
    train = next((split for split in counts if split.name == "train"), None)
    rare = [entry for entry in train.classes if 0 < entry.share < RARE] if train else []
    if not rare:
        return []
    named = [f"{entry.name} ({100 * entry.share:.2g} % in {entry.images} images)" for entry in rare]
    return [
        f"{len(rare)} classes have less than {RARE:.1%} of the training pixels each: {shown(named)}. Expect low scores "
        "there; ce + dice or ohem count them more than ce, and more steps show them more often"
    ]


def _similar_notes(split_of: Mapping[str, str], pairs: Mapping[str, Pair]) -> list[str]:
    known = [(id, print_) for id, pair in pairs.items() if id in split_of and (print_ := pair.fingerprint)]
    if len(known) > MOST_COMPARED:
        return [f"near duplicates were not looked for among more than {MOST_COMPARED} images"]
    found = [
        f"{known[one][0]} ({split_of[known[one][0]]}) and {known[two][0]} ({split_of[known[two][0]]})"
        for one, two in near_duplicates([print_ for _, print_ in known])
        if split_of[known[one][0]] != split_of[known[two][0]]
    ]
    if not found:
        return []
    return [f"{len(found)} pairs of images in two splits look nearly the same: {shown(found)}. A score may flatter"]
