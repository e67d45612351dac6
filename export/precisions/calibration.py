"""What a conversion measures ranges on, whole images or tiles of them, and the golden pairs: by stored hardness."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from hardedge.contracts import Calibration, Profile, find_profile, profiles_in_words
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import read_mask
from hardedge.errors import BadInput, faults_error
from hardedge.export.graph.form import Form
from hardedge.export.graph.profiles import image_size
from hardedge.export.precisions.tiles import Size, Tile, cut_tile, tile_size, tile_text, tiles_by_hardness

By = Literal["random", "hardness", "stratified"]
BYS: tuple[By, ...] = get_args(By)
SPLIT = "train"
SEED = 0
SHOWN = 5


def order_by_hardness(maps: Mapping[str, Path]) -> list[str]:
    """The ids of 8-bit hardness maps, the easiest first by their mean; equal ones by id."""
    return sorted(maps, key=lambda id: (float(read_mask(maps[id]).mean()), id))


def choose_evenly(ranked: list[str], count: int) -> list[str]:
    """`count` of the ids, evenly spaced, the first and the last among them."""
    if count == 1:
        return [ranked[len(ranked) // 2]]
    return [ranked[round(place * (len(ranked) - 1) / (count - 1))] for place in range(count)]


def choose_at_random(ids: list[str], count: int) -> list[str]:
    """`count` of the ids, drawn with a fixed seed."""
    return [str(id) for id in np.random.default_rng(SEED).permutation(sorted(ids))[:count]]


def choose_images(ranked: list[str], by: By, count: int) -> tuple[str, ...]:
    """Calibration images of ids ranked from easy to hard: random ones, the hardest, or evenly over the ranks."""
    count = min(count, len(ranked))
    picks = {
        "random": lambda: choose_at_random(ranked, count),
        "hardness": lambda: ranked[len(ranked) - count :],
        "stratified": lambda: choose_evenly(ranked, count),
    }
    return tuple(sorted(picks[by]()))


def golden_ids(maps: Mapping[str, Path], count: int) -> tuple[str, ...]:
    """The hardest images, the easiest, and random ones between them, a third each; all where there are no more."""
    if len(maps) <= count:
        return tuple(maps)
    ranked = order_by_hardness(maps)
    third = count // 3
    taken = {*ranked[:third], *ranked[-third:]}
    taken.update(choose_at_random(ranked[third:-third], count - 2 * third))
    return tuple(id for id in maps if id in taken)


def calibration_of(checkpoint: Path, dataset: Dataset, by: By, count: int, *, tile: Tile, form: Form) -> Calibration:
    """Calibration images, or tiles of them, out of the training images whose hardness the checkpoint stores.

    Raises BadInput when it stores none, when none of them is in the data set, when an image has another size than its
    map, and for images or tiles that no profile holds.
    """
    known = dataset.known(SPLIT)
    maps = {path.stem: path for path in sorted((checkpoint / "hardness" / SPLIT).glob("*.png")) if path.stem in known}
    if not maps:
        raise BadInput(
            f"{checkpoint}/hardness/{SPLIT} has no map of a training image of {dataset.root}: nothing to calibrate on. "
            "Give the --data that it was trained on, or train it again."
        )
    sizes = _sizes(maps, dataset)
    size = tile_size(tile, sizes, form)
    if size is None:
        images = choose_images(order_by_hardness(maps), by, count)
        _require_held({id: sizes[id] for id in images}, form.profiles)
        return Calibration(by=by, images=images)
    ranked = tiles_by_hardness(maps, size)
    tiles = tuple(ranked[name] for name in choose_images(list(ranked), by, count))
    _require_held({one.name: (one.height, one.width) for one in tiles}, form.profiles)
    return Calibration(by=by, images=tuple(sorted({one.image for one in tiles})), tiles=tiles)


def _sizes(maps: Mapping[str, Path], dataset: Dataset) -> dict[str, Size]:
    """The size of each image; raises BadInput naming those whose hardness map has another."""
    sizes = {id: image_size(dataset, id) for id in maps}
    faults = []
    for id, path in maps.items():
        with Image.open(path) as image:
            height, width = image.height, image.width
        if sizes[id] != (height, width):
            faults.append(f"{id} is {tile_text(sizes[id])}, its hardness map {tile_text((height, width))}")
    if faults:
        raise faults_error(
            f"{dataset.root} has calibration images of other sizes than those that were trained on",
            _first_names(faults),
            "Give the --data that the checkpoint was trained on, or train it again.",
        )
    return sizes


def _require_held(sizes: Mapping[str, Size], profiles: tuple[Profile, ...]) -> None:
    """Raises BadInput naming every image or tile whose size no profile holds."""
    faults = [
        f"{name}: {tile_text(size)}" for name, size in sizes.items() if find_profile(profiles, (1, *size)) is None
    ]
    if faults:
        raise faults_error(
            f"calibration images fit no profile of {profiles_in_words(profiles)}",
            _first_names(faults),
            "Give a --calibration-tile that fits one.",
        )


def _first_names(faults: list[str]) -> list[str]:
    return faults if len(faults) <= SHOWN else [*faults[:SHOWN], f"and {len(faults) - SHOWN} more"]


def write_calibration(calibration: Calibration, dataset: Dataset, out: Path) -> list[Path]:
    """Writes the pixels of each image to out/ID.png, or of each tile to out/NAME.png, and returns the paths."""
    out.mkdir()
    paths = []
    for id in calibration.images:
        image_HWC = dataset.image(id)
        tiles = [tile for tile in calibration.tiles if tile.image == id]
        pictures = {tile.name: cut_tile(image_HWC, tile) for tile in tiles} or {id: image_HWC}
        for name, picture_HWC in pictures.items():
            paths.append(out / f"{name}.png")
            Image.fromarray(picture_HWC).save(paths[-1])
    return paths
