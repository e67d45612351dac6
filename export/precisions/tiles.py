"""Tiles of calibration images, ranked by the hardness that training stored."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from hardedge.contracts import CalibrationTile, find_profile
from hardedge.data.decoding import Pixels, read_mask
from hardedge.errors import BadInput
from hardedge.export.graph.form import Form

Size: TypeAlias = tuple[int, int]  # height and width
Tile: TypeAlias = Literal["auto", "whole"] | Size
# images above it are calibrated on tiles: in the same time more of them are seen
LARGEST_WHOLE, AUTO_TILE = 1 << 20, (512, 1024)


def parse_tile(text: str) -> Tile:
    """`auto`, `whole`, or HEIGHTxWIDTH; raises BadInput for anything else."""
    if text in ("auto", "whole"):
        return "auto" if text == "auto" else "whole"
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if not match:
        raise BadInput(f'--calibration-tile "{text}": expected HEIGHTxWIDTH, for example 512x512, or auto, or whole.')
    return int(match[1]), int(match[2])


def tile_size(tile: Tile, sizes: Mapping[str, Size], form: Form) -> Size | None:
    """Height and width of the tiles, None for whole images.

    By itself tiles of large images, where the network takes their size and does not resize it. Raises BadInput for a
    tile that is larger than every image, and for one in front of a network that resizes it.
    """
    if tile == "whole":
        return None
    if tile == "auto":
        large = any(math.prod(size) > LARGEST_WHOLE for size in sizes.values())
        fits = form.network_size is None and find_profile(form.profiles, (1, *AUTO_TILE)) is not None
        return AUTO_TILE if large and fits else None
    if form.network_size:
        raise BadInput(
            f"--calibration-tile {tile_text(tile)}: the network runs at {tile_text(form.network_size)}, so that a tile "
            "would be seen larger than it is. Leave it out: whole images are taken."
        )
    if not any(size != tile and size[0] >= tile[0] and size[1] >= tile[1] for size in sizes.values()):
        largest = max(sizes.values(), key=math.prod)
        raise BadInput(
            f"--calibration-tile {tile_text(tile)}: the largest calibration image is {tile_text(largest)}. "
            "Give a smaller tile, or leave it out."
        )
    return tile


def tiles_by_hardness(maps: Mapping[str, Path], size: Size) -> dict[str, CalibrationTile]:
    """All tiles of the images by name, the easiest first by the mean of their part of the map; equal ones by name.

    They cover an image evenly and overlap where its size is no multiple of theirs; an image that is smaller in a
    direction is taken whole there.
    """
    found: dict[str, tuple[float, CalibrationTile]] = {}
    for id, path in maps.items():
        map_HW = read_mask(path)
        for tile in _tiles(id, map_HW.shape, size):
            found[tile.name] = (float(cut_tile(map_HW, tile).mean()), tile)
    return {name: found[name][1] for name in sorted(found, key=lambda name: (found[name][0], name))}


def _tiles(id: str, shape: tuple[int, ...], size: Size) -> list[CalibrationTile]:
    height, width = (min(length, wanted) for length, wanted in zip(shape, size, strict=True))
    return [
        CalibrationTile(image=id, top=top, left=left, height=height, width=width)
        for top in _starts(shape[0], height)
        for left in _starts(shape[1], width)
    ]


def _starts(length: int, tile: int) -> list[int]:
    count = math.ceil(length / tile)
    return [round(place * (length - tile) / max(count - 1, 1)) for place in range(count)]


def cut_tile(pixels: Pixels, tile: CalibrationTile) -> Pixels:
    """A tile's part of an image [H, W, 3] or a map [H, W]."""
    return pixels[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]


def tile_text(size: Size) -> str:
    """HEIGHTxWIDTH."""
    return "x".join(map(str, size))
