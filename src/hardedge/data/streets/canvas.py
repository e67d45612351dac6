"""Integer drawing for the street scenes: hashed random numbers, a pinhole camera, filled shapes with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Color: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[int, int]
T = TypeVar("T")

_MASK = (1 << 64) - 1
_WIDE = 1 << 30
_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix_colours(value: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014) on one integer."""
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def speckle(seed: int, u: Ints, v: Ints, amplitude: int) -> Ints:
    """Noise in -amplitude..amplitude that is a function of the integer coordinates u and v."""
    value = u.astype(np.uint32) * np.uint32(0x9E3779B1) + v.astype(np.uint32) * np.uint32(0x85EBCA77)
    value += np.uint32(mix_colours(seed) >> 32)
    value ^= value >> np.uint32(15)
    value *= np.uint32(0x2C1B3C6D)
    value ^= value >> np.uint32(12)
    value *= np.uint32(0x297A2D39)
    value >>= np.uint32(16)
    value *= np.uint32(2 * amplitude + 1)
    value >>= np.uint32(16)
    return value.astype(np.int32) - np.int32(amplitude)


class Random:
    """Random choices from a seed by splitmix64: the same on every machine and in every version."""

    def __init__(self, *seeds: int) -> None:
        self._state = 0
        for seed in seeds:
            self._state = mix_colours((self._state + seed + _STEP) & _MASK)

    def roll(self) -> int:
        self._state = (self._state + _STEP) & _MASK
        return mix_colours(self._state)

    def fork(self) -> Random:
        """New dice, whose rolls leave these alone."""
        return Random(self.roll())

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.roll() % (high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.roll() % 100 < percent

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.roll() % len(choices)]

    def shade(self, color: Color, spread: int) -> Color:
        """A colour near the given one."""
        red, green, blue = (channel + self.between(-spread, spread) for channel in color)
        return red, green, blue


@dataclass(frozen=True)
class StreetCamera:
    """A pinhole camera over a plane: lengths in centimetres, `focal`, `center` and `horizon` in canvas pixels."""

    focal: int
    height: int
    center: int
    horizon: int

    def at(self, x: int, y: int, z: int) -> Point:
        """The pixel (column, row) of a point x to the right, y above the ground, z ahead."""
        return self.center + self.focal * x // z, self.horizon + self.focal * (self.height - y) // z

    def pixels(self, length: int, z: int) -> int:
        """How many pixels a length has at distance z."""
        return self.focal * length // z

    def ground(self, shape: tuple[int, int]) -> tuple[Ints, Ints]:
        """The ground seen below the horizon of a canvas: x at each pixel [rows, columns], z in each row [rows, 1]."""
        below = np.arange(1, shape[0] - self.horizon, dtype=np.int32)[:, None]
        columns = np.arange(shape[1], dtype=np.int32)[None]
        return (columns - self.center) * self.height // below, self.focal * self.height // below


@dataclass(frozen=True)
class Region:
    """The pixels of a shape: a window of the canvas, and which of its pixels are inside."""

    window: tuple[slice, slice]
    inside: Bools
    rows: Ints
    columns: Ints


def _doubled_area(points: Sequence[Point]) -> int:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True))


@dataclass
class Canvas:
    """An image int32 [3, H, W] and its labels uint8 [H, W], drawn from far to near as the camera sees them."""

    shape: tuple[int, int]
    camera: StreetCamera
    image: Ints = field(init=False)
    labels: npt.NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.image = np.zeros((3, *self.shape), np.int32)
        self.labels = np.zeros(self.shape, np.uint8)

    def polygon(self, points: Sequence[Point]) -> Region:
        """The pixels of a convex polygon, its border included."""
        region = self._window(points)
        rows, turn = region.rows, 1 if _doubled_area(points) > 0 else -1
        first, last = np.full_like(rows, -_WIDE), np.full_like(rows, _WIDE)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            across, along = turn * (x1 - x0), turn * (y1 - y0)
            if along > 0:
                np.minimum(last, x0 + across * (rows - y0) // along, out=last)
            elif along < 0:
                np.maximum(first, x0 - across * (rows - y0) // -along, out=first)
        np.logical_and(region.columns >= first, region.columns <= last, out=region.inside)
        return region

    def ellipse(self, center: Point, radius: Point, ragged: int = 0, seed: int = 0) -> Region:
        """The pixels of an axis-parallel ellipse; `ragged` percent of its border are torn."""
        (x, y), (width, height) = center, (max(radius[0], 1), max(radius[1], 1))
        region = self._window([(x - width, y - height), (x + width, y + height)])
        rows, columns = region.rows.astype(np.int64), region.columns.astype(np.int64)
        far = ((columns - x) * height) ** 2 + ((rows - y) * width) ** 2
        limit = (width * height) ** 2
        torn = speckle(seed, region.rows // 4, region.columns // 4, ragged) if ragged else 0
        region.inside[:] = far * 100 <= limit * (100 + torn - ragged)
        return region

    def _window(self, points: Sequence[Point]) -> Region:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        top, bottom = max(min(ys), 0), min(max(ys) + 1, self.shape[0])
        left, right = max(min(xs), 0), min(max(xs) + 1, self.shape[1])
        bottom, right = max(bottom, top), max(right, left)
        rows = np.arange(top, bottom, dtype=np.int32)[:, None]
        columns = np.arange(left, right, dtype=np.int32)[None]
        inside = np.zeros((bottom - top, right - left), np.bool_)
        return Region((slice(top, bottom), slice(left, right)), inside, rows, columns)

    def paint(self, region: Region, color: Color | Ints, label: int | None = None, grain: Ints | int = 0) -> None:
        """Fills a region with a colour, or an array of them [3, h, w], plus a grain [h, w]; None keeps the label."""
        for plane, channel in zip(self.image, color, strict=True):
            np.copyto(plane[region.window], channel + grain, where=region.inside)
        if label is not None:
            np.copyto(self.labels[region.window], np.uint8(label), where=region.inside)

    def darken(self, region: Region, percent: int) -> None:
        """A shadow over a region: its brightness becomes that many percent."""
        for plane in self.image:
            window = plane[region.window]
            np.copyto(window, window * percent // 100, where=region.inside)
