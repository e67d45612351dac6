"""What an annotation covers: outlines, ellipses, bitmaps and run lengths, each drawn into a patch of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Protocol

import numpy as np

from hardedge.data.importing.polygons import NOTHING, Flags, Patch, Points, Size, filled
from hardedge.data.importing.runs import brush, by_columns, by_rows, coco_counts

FAR = 1e6  # no image is as large: a coordinate beyond it is a mistake


class Area(Protocol):
    """What can be drawn into an image; raises ValueError where it does not fit the image."""

    def draw(self, size: Size) -> Patch: ...


def points_of(numbers: Sequence[object]) -> Points:
    """Corners from x, y, x, y ...; raises ValueError unless they are numbers and at least three corners."""
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise ValueError("a polygon's corners must be numbers")
    if len(numbers) % 2 or len(numbers) < 6:
        raise ValueError(f"a polygon of {len(numbers)} numbers; expected x and y of at least 3 corners")
    points = np.asarray(numbers, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all() or np.abs(points).max() > FAR:
        raise ValueError("a polygon's corner is not a position in an image")
    return points


@dataclass(frozen=True)
class Polygons:
    """The union of outlines, less the union of holes."""

    outlines: tuple[Points, ...]
    holes: tuple[Points, ...] = ()

    def draw(self, size: Size) -> Patch:
        patches = [filled(points, size) for points in self.outlines]
        if len(patches) == 1 and not self.holes:
            return patches[0]
        inside = np.zeros(size, bool)
        for patch in patches:
            inside[patch.window] |= patch.flags
        for patch in (filled(points, size) for points in self.holes):
            inside[patch.window] &= ~patch.flags
        return Patch(0, 0, inside)


@dataclass(frozen=True)
class Relative:
    """An outline whose corners are shares of the image's width and height."""

    outline: Points

    def draw(self, size: Size) -> Patch:
        return filled(self.outline * np.array([size[1], size[0]]), size)


def box(left: float, top: float, width: float, height: float, degrees: float = 0) -> Polygons:
    """A rectangle, turned clockwise about its upper left corner."""
    across = np.array([cos(radians(degrees)), sin(radians(degrees))]) * width
    down = np.array([-sin(radians(degrees)), cos(radians(degrees))]) * height
    corner = np.array([left, top], np.float64)
    corners = np.stack([corner, corner + across, corner + across + down, corner + down])
    return Polygons((points_of(corners.reshape(-1).tolist()),))


@dataclass(frozen=True)
class Ellipse:
    """The pixels whose centres are in an ellipse, turned clockwise by `degrees`."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    degrees: float = 0

    def draw(self, size: Size) -> Patch:
        if not all(np.isfinite((self.x, self.y, self.radius_x, self.radius_y))):
            raise ValueError("an ellipse without numbers")
        reach = max(self.radius_x, self.radius_y)
        if reach <= 0:
            return NOTHING
        top, left = (max(int(center - reach), 0) for center in (self.y, self.x))
        bottom, right = (
            min(int(center + reach) + 1, length) for center, length in zip((self.y, self.x), size, strict=True)
        )
        ys, xs = np.mgrid[top : max(bottom, top), left : max(right, left)] + 0.5
        turned = radians(self.degrees)
        across = (xs - self.x) * cos(turned) + (ys - self.y) * sin(turned)
        down = (ys - self.y) * cos(turned) - (xs - self.x) * sin(turned)
        if min(self.radius_x, self.radius_y) <= 0:
            return NOTHING
        return Patch(top, left, (across / self.radius_x) ** 2 + (down / self.radius_y) ** 2 <= 1)


@dataclass(frozen=True)
class Bitmap:
    """Flags at a place; what lies outside the image is cut off."""

    left: int
    top: int
    flags: Flags

    def draw(self, size: Size) -> Patch:
        above, before = max(-self.top, 0), max(-self.left, 0)
        top, left = max(self.top, 0), max(self.left, 0)
        inside = self.flags[above : above + max(size[0] - top, 0), before : before + max(size[1] - left, 0)]
        return Patch(top, left, inside) if inside.size else NOTHING


@dataclass(frozen=True)
class CocoRuns:
    """COCO's run lengths, as a list or as its compressed string, with the size that they are of."""

    counts: str | tuple[int, ...]
    size: Size

    def draw(self, size: Size) -> Patch:
        if self.size != size:
            raise ValueError(f"run lengths are of {_words(self.size)} pixels, but its image is {_words(size)}")
        counts = coco_counts(self.counts) if isinstance(self.counts, str) else self.counts
        return Patch(0, 0, by_columns(counts, size))


@dataclass(frozen=True)
class CvatRuns:
    """CVAT's run lengths within a box."""

    counts: tuple[int, ...]
    left: int
    top: int
    size: Size

    def draw(self, size: Size) -> Patch:
        return Bitmap(self.left, self.top, by_rows(self.counts, self.size)).draw(size)


@dataclass(frozen=True)
class Brush:
    """Label Studio's packed brush."""

    content: tuple[int, ...]

    def draw(self, size: Size) -> Patch:
        return Patch(0, 0, brush(self.content, size))


def _words(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
