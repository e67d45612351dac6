"""mmsegmentation's folder: img_dir/SPLIT/NAME.jpg with ann_dir/SPLIT/NAME.png (CustomDataset)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.rasters import by_table, folder_source, indexed
from hardedge.data.importing.source import Found, Options, Source
from hardedge.data.importing.tables import require_kind


def read(source: Path, options: Options, found: Found) -> Source:
    """Values are places in the config's `classes`, given as --classes; 255 is ignored."""
    require_kind(options.table, colors=False)
    labels, numbers = by_table(options)
    options = replace(options, images=options.images or source / "img_dir", masks=options.masks or source / "ann_dir")
    return folder_source(source, options, found, labels, partial(indexed, labels=numbers))


def known(source: Path) -> bool:
    """Folders img_dir and ann_dir."""
    return (source / "img_dir").is_dir() and (source / "ann_dir").is_dir()


MMSEG = Format(
    name="mmseg",
    title="mmsegmentation",
    known=known,
    read=read,
    needs="--classes road,car,...",
    takes=("images", "masks", "table"),
)
