"""Readers of public data sets from the directory layouts in which they are distributed; docs/data.md has a table."""

from pathlib import Path

from hardedge.data.layouts.ade20k import ADE20K
from hardedge.data.layouts.camvid import CAMVID
from hardedge.data.layouts.cityscapes import CITYSCAPES
from hardedge.data.layouts.cocostuff import COCOSTUFF
from hardedge.data.layouts.layout import Layout, read_layout
from hardedge.data.layouts.nyuv2 import NYUV2
from hardedge.data.layouts.oxfordpet import OXFORDPET
from hardedge.data.layouts.synthia import SYNTHIA
from hardedge.data.layouts.voc import VOC
from hardedge.errors import BadInput

__all__ = ["LAYOUTS", "Layout", "layout_of", "public_data_sets", "read_layout"]

LAYOUTS = (CITYSCAPES, ADE20K, COCOSTUFF, VOC, NYUV2, SYNTHIA, OXFORDPET, CAMVID)


def layout_of(root: Path) -> Layout | None:
    """The layout whose mark the folder has; None for a folder with classes.json, which is native, or without a mark.

    Raises BadInput when it has the marks of two.
    """
    if (root / "classes.json").is_file():
        return None
    seen = [layout for layout in LAYOUTS if any((root / mark).exists() for mark in layout.marks)]
    if len(seen) > 1:
        marks = ", ".join(f"{layout.name} ({_marks(layout)})" for layout in seen)
        raise BadInput(f"{root} looks like several data sets: {marks}. Give each a folder of its own.")
    return seen[0] if seen else None


def public_data_sets(root: Path) -> str:
    """What was looked for in a folder that is no known data set, and where below it one lies, if it does."""
    below = [folder for folder in sorted(root.glob("*")) if folder.is_dir() and _is_known(folder)]
    hint = f" Did you mean {below[0]}?" if below else ""
    return "; ".join(f"{layout.name} by {_marks(layout)}" for layout in LAYOUTS) + f".{hint}"


def _is_known(folder: Path) -> bool:
    return any((folder / mark).exists() for layout in LAYOUTS for mark in layout.marks)


def _marks(layout: Layout) -> str:
    return " or ".join(layout.marks)
