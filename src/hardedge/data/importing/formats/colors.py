"""Masks whose RGB colours are classes, by a table of colours: --table FILE, or the one that lies in the folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.pictures import read_colors
from hardedge.data.importing.rasters import by_table, first_values, folder_source
from hardedge.data.importing.source import Found, Options, Raster, Source
from hardedge.data.importing.tables import read_table, require_kind
from hardedge.errors import BadInput

TABLES = ("class_dict.csv", "label_colors.txt", "labelmap.txt", "colors.txt", "classes.csv")


def read(source: Path, options: Options, found: Found) -> Source:
    """images/ with masks/ of colours; every colour has to be in the table."""
    path = next((source / name for name in TABLES if (source / name).is_file()), None)
    if not options.table and path is None:
        raise BadInput(
            f"{source} has no table of colours ({', '.join(TABLES)}). "
            "Give one: --table FILE with lines such as 128 64 128 road, or --table '#804080=road,#ff0000=car'"
        )
    if not options.table and path:
        found.files.append(path)
        options = replace(options, table=read_table(path))
    require_kind(options.table, colors=True)
    labels, numbers = by_table(options)
    return folder_source(source, options, found, labels, partial(colored, numbers))


def colored(numbers: dict[int, str], path: Path) -> Raster:
    """A mask of colours, looked up in a table."""
    return Raster(partial(read_colors, path), numbers, path, shown="#{:06x}".format)


def known(source: Path) -> bool:
    """Folders of images and masks, whose first masks have more than black and white."""
    values = first_values(source)
    return any(mode == "colors" for mode, _ in values)


COLORS = Format(
    name="colors",
    title="RGB colour masks",
    known=known,
    read=read,
    needs="--table COLOURS.txt",
    takes=("images", "masks", "table"),
)
