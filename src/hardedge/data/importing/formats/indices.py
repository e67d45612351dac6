"""Masks of class indices with a mapping: labels 1..N with 0 to ignore, or any other values."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.rasters import by_table, first_values, folder_source, indexed
from hardedge.data.importing.source import Found, Options, Source
from hardedge.data.importing.tables import require_kind


def read(source: Path, options: Options, found: Found) -> Source:
    """images/ with masks/; each value is a class of --table or --classes, 255 is ignored unless it is one."""
    require_kind(options.table, colors=False)
    labels, numbers = by_table(options)
    return folder_source(source, options, found, labels, partial(indexed, labels=numbers))


def known(source: Path) -> bool:
    """Folders of images and masks, whose first masks are class indices; not the native form, which has splits."""
    if (source / "splits").is_dir():
        return False
    values = first_values(source)
    return bool(values) and all(mode == "indices" for mode, _ in values)


INDICES = Format(
    name="indices",
    title="masks of class indices",
    known=known,
    read=read,
    needs="--table 0=void,1=road,2=car",
    takes=("images", "masks", "table"),
)
