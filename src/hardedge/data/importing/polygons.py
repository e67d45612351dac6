"""Polygons filled by one rule: a pixel belongs to a polygon when its centre is inside.

The outline is first rounded to a fifth of a pixel and traced as COCO's own tool (pycocotools) does, so that the mask
of any polygon equals its mask pixel for pixel. (0, 0) is the upper left corner of the upper left pixel, whose centre is
(0.5, 0.5). Where an outline crosses itself, the even-odd rule decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FINE = 5  # positions a pixel
MOST_STEPS = 1 << 24  # along one outline: some three million pixels

Points = npt.NDArray[np.float64]  # [N, 2]: x, y
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Patch:
    """Some of an image's pixels: flags [h, w] whose first one is the pixel in row `top` and column `left`."""

    top: int
    left: int
    flags: Flags

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.flags))

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.flags.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def tight(self) -> Patch:
        """The same pixels in the smallest patch."""
        rows, columns = np.flatnonzero(self.flags.any(1)), np.flatnonzero(self.flags.any(0))
        if not len(rows):
            return NOTHING
        flags = self.flags[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Patch(self.top + int(rows[0]), self.left + int(columns[0]), flags)

    def same_pixels(self, other: Patch) -> bool:
        """Whether two tight patches are the same pixels."""
        return (self.top, self.left) == (other.top, other.left) and np.array_equal(self.flags, other.flags)


NOTHING = Patch(0, 0, np.zeros((0, 0), bool))


def filled(points: Points, size: Size) -> Patch:
    """The pixels of an image whose centres are inside the polygon; raises ValueError for an outline without end."""
    columns, rows = _crossings(points, size)
    if not len(columns):
        return NOTHING
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) - top, int(columns.max()) - left + 1
    places = (columns - left) * (height + 1) + rows - top
    turns = np.bincount(places, minlength=width * (height + 1)).reshape(width, height + 1)
    # in each column the inside begins and ends at a crossing
    inside = (np.cumsum(turns, axis=1, dtype=np.uint8) & 1).astype(bool)
    return Patch(top, left, np.ascontiguousarray(inside[:, :-1].T))


def _crossings(points: Points, size: Size) -> tuple[Ints, Ints]:
    """Where the outline crosses the line through a column's pixel centres: the column, and the first row below it."""
    height, width = size
    us, vs = _traced(np.trunc(FINE * points + 0.5).astype(np.int64))
    crossed = np.flatnonzero(us[1:] != us[:-1])
    u = np.minimum(us[1:], us[:-1])[crossed]
    v = np.minimum(vs[1:], vs[:-1])[crossed]
    centred = (u % FINE == FINE // 2) & (u >= 0) & (u // FINE < width)
    rows = np.ceil(np.clip((v[centred] + 0.5) / FINE - 0.5, 0, height)).astype(np.int64)
    return u[centred] // FINE, rows


def _traced(corners: Ints) -> tuple[Ints, Ints]:
    """Every fine position along the closed outline, in order: steps of one along the longer side of each edge."""
    start, end = corners, np.roll(corners, -1, axis=0)
    lengths = np.abs(end - start)
    flat = lengths[:, 0] >= lengths[:, 1]
    steps = lengths.max(1)
    if steps.sum() > MOST_STEPS:
        raise ValueError(f"a polygon's outline is {steps.sum() // FINE} pixels long; no image has such a one")
    edge = np.repeat(np.arange(len(corners)), steps + 1)
    first = np.cumsum(steps + 1) - (steps + 1)
    step = np.arange(len(edge)) - first[edge]
    main, other = np.where(flat, 0, 1), np.where(flat, 1, 0)
    each = np.arange(len(corners))
    # an edge is traced from its lower end on its longer side, whichever way it is walked
    flipped = start[each, main] > end[each, main]
    low, high = np.where(flipped[:, None], end, start), np.where(flipped[:, None], start, end)
    slope = (high[each, other] - low[each, other]) / np.maximum(steps, 1)
    along = np.where(flipped[edge], steps[edge] - step, step)
    longer = low[each, main][edge] + along
    shorter = np.trunc(low[each, other][edge] + slope[edge] * along + 0.5).astype(np.int64)
    return np.where(flat[edge], longer, shorter), np.where(flat[edge], shorter, longer)
