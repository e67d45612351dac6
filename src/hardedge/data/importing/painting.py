"""One image's labels painted into its mask: in a stated order, with what was overlapped, merged and left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hardedge.data.importing.classes import DROPPED, IGNORED, UNLABELLED, Plan
from hardedge.data.importing.polygons import Patch, Size
from hardedge.data.importing.source import CLEARED, Order, Raster, Region, Sample

Labels = npt.NDArray[np.int16]
ORDERS: dict[Order, str] = {
    "area": "larger regions first, smaller over them",
    "file": "in the order of the file, later over earlier",
    "priority": "in the order of the classes, later over earlier",
}


@dataclass
class Painted:
    """A mask [H, W] of class indices, 255 and -1 (unlabelled), and how it came about."""

    labels_HW: Labels
    regions: Counter[str] = field(default_factory=Counter)  # painted, by label
    overlapped: Counter[tuple[int, int]] = field(default_factory=Counter)  # pixels, by class and the one over it
    notes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: list[tuple[object, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Drawn:
    region: Region
    patch: Patch
    becomes: int


def painted(sample: Sample, size: Size, plan: Plan, order: Order) -> Painted:
    """The image's mask: its label image, then its regions over one another."""
    result = Painted(np.full(size, UNLABELLED, np.int16))
    if sample.raster:
        _look_up(sample.raster, size, plan, result)
    drawn = [found for region in sample.regions if (found := _drawn(region, size, plan, result))]
    for each in sorted(_distinct(drawn, result), key=lambda each: _key(each, order)):
        _put(each, result)
    return result


def _drawn(region: Region, size: Size, plan: Plan, result: Painted) -> _Drawn | None:
    becomes = _becomes(region.label, plan)
    if becomes == DROPPED:
        result.notes["dropped", f"region of {region.label}", "--drop"] += 1
        return None
    try:
        patch = region.area.draw(size).tight()
    except (ValueError, OverflowError) as error:
        result.faults.append((region.where, str(error)))
        return None
    if not patch.area:
        result.notes["dropped", f"region of {region.label or 'ignored pixels'}", "it covers no pixel's centre"] += 1
        return None
    return _Drawn(region, patch, becomes)


def _becomes(label: str | None, plan: Plan) -> int:
    if label is None:
        return IGNORED
    return UNLABELLED if label == CLEARED else plan.becomes[label]


def _distinct(drawn: list[_Drawn], result: Painted) -> list[_Drawn]:
    """Without regions of the same label and the same pixels; the first one stays."""
    kept: dict[tuple[object, ...], _Drawn] = {}
    for each in drawn:
        patch = each.patch
        key = (each.region.label, each.region.rank, patch.top, patch.left, patch.flags.shape, patch.flags.tobytes())
        if key in kept:
            result.notes["merged", f"region of {each.region.label or 'ignored pixels'}", "the same pixels, twice"] += 1
        else:
            kept[key] = each
    return list(kept.values())


def _key(each: _Drawn, order: Order) -> tuple[int, int]:
    if order == "area":
        return each.region.rank, -each.patch.area
    return each.region.rank, each.becomes if order == "priority" else 0


def _put(each: _Drawn, result: Painted) -> None:
    below = result.labels_HW[each.patch.window]
    hidden = below[each.patch.flags & (below != UNLABELLED) & (below != each.becomes)]
    for value, count in zip(*np.unique(hidden, return_counts=True), strict=True):
        result.overlapped[int(value), each.becomes] += int(count)
    below[each.patch.flags] = each.becomes
    if each.region.label:
        result.regions[each.region.label] += 1


def _look_up(raster: Raster, size: Size, plan: Plan, result: Painted) -> None:
    from hardedge.errors import BadInput

    try:
        values_HW = raster.read()
    except BadInput as error:
        result.faults.append((raster.where, str(error)))
        return
    if values_HW.shape != size:
        height, width = values_HW.shape
        result.faults.append((raster.where, f"{height}x{width} pixels, but its image has {size[0]}x{size[1]}"))
        return
    values, inverse, counts = np.unique(values_HW, return_inverse=True, return_counts=True)
    table = np.full(len(values), UNLABELLED, np.int16)
    unknown = []
    for place, value in enumerate(int(value) for value in values):
        if value in raster.labels:
            label = raster.labels[value]
            becomes = plan.becomes[label]
            table[place] = UNLABELLED if becomes == DROPPED else becomes
            if becomes == DROPPED:
                result.notes["dropped", f"pixels of {label}", "--drop"] += int(counts[place])
            result.regions[label] += 1
        elif value in raster.ignored:
            table[place] = IGNORED
        elif value not in raster.unlabelled:
            unknown.append(f"{raster.shown(value)} ({counts[place]} pixels)")
    if unknown:
        more = f" and {len(unknown) - 5} more (was it saved as JPEG, or resized?)" if len(unknown) > 5 else ""
        known = ", ".join(raster.shown(value) for value in list(raster.labels)[:12])
        result.faults.append((raster.where, f"value {', '.join(unknown[:5])}{more} is no label. Known: {known}"))
    result.labels_HW = table[inverse.reshape(size)]
