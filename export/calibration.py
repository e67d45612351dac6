"""Which images a conversion measures ranges on, and which become golden pairs: by the hardness that training stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from hardedge.contracts import Calibration
from hardedge.data.folder import Dataset, read_mask
from hardedge.errors import BadInput

By = Literal["random", "hardness", "stratified"]
BYS: tuple[By, ...] = get_args(By)
SPLIT = "train"
SEED = 0


def by_hardness(maps: Mapping[str, Path]) -> list[str]:
    """The ids of 8-bit hardness maps, the easiest first by their mean; equal ones by id."""
    return sorted(maps, key=lambda id: (float(read_mask(maps[id]).mean()), id))


def evenly(ranked: list[str], count: int) -> list[str]:
    """`count` of the ids, evenly spaced, the first and the last among them."""
    if count == 1:
        return [ranked[len(ranked) // 2]]
    return [ranked[round(place * (len(ranked) - 1) / (count - 1))] for place in range(count)]


def at_random(ids: list[str], count: int) -> list[str]:
    """`count` of the ids, drawn with a fixed seed."""
    return [str(id) for id in np.random.default_rng(SEED).permutation(sorted(ids))[:count]]


def chosen(ranked: list[str], by: By, count: int) -> tuple[str, ...]:
    """Calibration images of ids ranked from easy to hard: random ones, the hardest, or evenly over the ranks."""
    count = min(count, len(ranked))
    picks = {
        "random": lambda: at_random(ranked, count),
        "hardness": lambda: ranked[len(ranked) - count :],
        "stratified": lambda: evenly(ranked, count),
    }
    return tuple(sorted(picks[by]()))


def golden_ids(maps: Mapping[str, Path], count: int) -> tuple[str, ...]:
    """The hardest images, the easiest, and random ones between them, a third each; all where there are no more."""
    if len(maps) <= count:
        return tuple(maps)
    ranked = by_hardness(maps)
    third = count // 3
    taken = {*ranked[:third], *ranked[-third:]}
    taken.update(at_random(ranked[third:-third], count - 2 * third))
    return tuple(id for id in maps if id in taken)


def calibration_of(checkpoint: Path, dataset: Dataset, by: By, count: int) -> Calibration:
    """Calibration images out of the training images whose hardness the checkpoint stores.

    Raises BadInput when it stores none, or when none of them is in the data set.
    """
    known = set(dataset.splits[SPLIT])
    maps = {path.stem: path for path in sorted((checkpoint / "hardness" / SPLIT).glob("*.png")) if path.stem in known}
    if not maps:
        raise BadInput(
            f"{checkpoint}/hardness/{SPLIT} has no map of a training image of {dataset.root}: nothing to calibrate on. "
            "Give the --data that it was trained on, or train it again."
        )
    return Calibration(by=by, images=chosen(by_hardness(maps), by, count))


def write_calibration(calibration: Calibration, dataset: Dataset, out: Path) -> list[Path]:
    """Writes out/ID.png, the pixels of each image, and returns the paths."""
    out.mkdir()
    paths = [out / f"{id}.png" for id in calibration.images]
    for id, path in zip(calibration.images, paths, strict=True):
        Image.fromarray(dataset.image(id)).save(path)
    return paths
