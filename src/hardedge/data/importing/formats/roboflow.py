"""Roboflow's semantic segmentation masks: NAME.jpg with NAME_mask.png, and _classes.csv, in train, valid and test."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import split_named
from hardedge.data.importing.rasters import indexed, number_of, pairs_of, sampled
from hardedge.data.importing.source import Found, Label, Options, Sample, Source
from hardedge.data.importing.tables import read_table, require_kind
from hardedge.errors import BadInput

TABLE = "_classes.csv"


def read(source: Path, options: Options, found: Found) -> Source:
    """Every folder with _classes.csv, whose tables must agree; it is the split that its name says."""
    folders = _folders(source)
    if not folders:
        raise BadInput(f"{source} has no {TABLE}, as Roboflow's semantic segmentation masks have.")
    numbers: dict[int, str] = {}
    samples: list[Sample] = []
    for folder in folders:
        path = folder / TABLE
        found.files.append(path)
        table = read_table(path)
        require_kind(table, colors=False)
        for key, name in table:
            if numbers.setdefault(number_of(key), name) != name:
                found.fault(path, f"value {key} is {name}, but was {numbers[number_of(key)]} before")
        pairs = [(f"{folder.name}/{name}", *files) for name, *files in pairs_of(folder, folder, options, found)]
        split = split_named([folder.name])
        samples += sampled(pairs, source, found, partial(indexed, labels=numbers), split)  # type: ignore[arg-type]
    return Source(labels=tuple(Label(numbers[value]) for value in sorted(numbers)), samples=tuple(samples))


def _folders(source: Path) -> list[Path]:
    inner = sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    return [folder for folder in (source, *inner) if (folder / TABLE).is_file()]


def known(source: Path) -> bool:
    """A folder with _classes.csv, and masks beside the images."""
    return any(any(folder.glob("*_mask.png")) for folder in _folders(source))


ROBOFLOW = Format(name="roboflow", title="Roboflow semantic segmentation masks", known=known, read=read)
