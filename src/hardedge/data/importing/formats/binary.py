"""Masks of two values: 0 and 255 (or 0 and 1), background and foreground."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.pictures import read_indices
from hardedge.data.importing.rasters import first_values, folder_source
from hardedge.data.importing.source import Found, Label, Options, Raster, Source, Values
from hardedge.errors import BadInput

NAMES = ("background", "foreground")


def read(source: Path, options: Options, found: Found) -> Source:
    """images/ with masks/; --classes names the two, --threshold makes two values of others."""
    names = options.classes or NAMES
    if len(names) != 2:
        raise BadInput(
            f"--classes {','.join(names)}: a binary mask has two classes, such as --classes background,crack"
        )
    labels = dict(enumerate(names))
    return folder_source(
        source,
        options,
        found,
        tuple(map(Label, names)),
        lambda path: Raster(partial(_two_values, path, options.threshold), labels, path),
    )


def _two_values(path: Path, threshold: int | None) -> Values:
    values_HW = read_indices(path)
    if threshold is not None:
        return (values_HW >= threshold).astype(np.int64)
    values, counts = np.unique(values_HW, return_counts=True)
    if values.max() not in (0, 1, 255) or len(set(values.tolist()) - {0, 1, 255}) or {1, 255} <= set(values.tolist()):
        odd = [
            f"{value} ({count} pixels)" for value, count in zip(values, counts, strict=True) if value not in (0, 255)
        ]
        raise BadInput(f"values {', '.join(odd[:5])} beside 0 and 255. Take from 128 on as foreground: --threshold 128")
    return (values_HW > 0).astype(np.int64)


def known(source: Path) -> bool:
    """Folders of images and masks, whose first masks have 0 and 255 alone, not both missing 255."""
    values = [np.unique(found).tolist() for _, found in first_values(source)]
    return bool(values) and all(set(each) <= {0, 255, 0xFFFFFF} for each in values) and any(max(v) > 1 for v in values)


BINARY = Format(name="binary", title="binary masks", known=known, read=read, takes=("images", "masks", "threshold"))
