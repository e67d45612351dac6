"""Hugging Face `datasets` on disk: Arrow files of save_to_disk, or Parquet files, with an image and a mask a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardedge.data.importing.documents import read_json
from hardedge.data.importing.folders import files_in
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import split_named
from hardedge.data.importing.pictures import read_indices
from hardedge.data.importing.rasters import IGNORED, by_table
from hardedge.data.importing.source import Found, Label, Options, Raster, Sample, Source, Values
from hardedge.errors import BadInput, missing_extra

if TYPE_CHECKING:
    from pyarrow import Table

IMAGES = ("image", "img", "pixel_values")
MASKS = ("label", "labels", "annotation", "annotations", "mask", "masks", "segmentation_mask", "semantic_mask")
NAMES = "id2label.json"


def read(source: Path, options: Options, found: Found) -> Source:
    """Classes of id2label.json, --classes or --table; 255 is ignored. Needs pyarrow."""
    try:
        import pyarrow  # noqa: F401  # asked for before any work
    except ImportError:
        raise missing_extra("pyarrow", "huggingface") from None
    labels, numbers = _labels(source / NAMES, options, found)
    samples = []
    for path in _files(source):
        found.files.append(path)
        samples += _samples(path, source, numbers)
    if not samples:
        raise BadInput(f"{source} has no .arrow or .parquet file with rows.")
    return Source(labels=labels, samples=tuple(samples))


def _files(source: Path) -> list[Path]:
    return [path for path in files_in(source, (".arrow", ".parquet")) if not path.name.startswith("cache-")]


def _labels(path: Path, options: Options, found: Found) -> tuple[tuple[Label, ...], dict[int, str]]:
    if options.table or options.classes or not path.is_file():
        return by_table(options)
    found.files.append(path)
    document = read_json(path)
    try:
        numbers = {int(key): str(name) for key, name in document.value.items()}
    except (AttributeError, ValueError):
        raise BadInput(f"{path}:1: expected an object of values and names.") from None
    return tuple(Label(numbers[value]) for value in sorted(numbers)), numbers


def _samples(path: Path, root: Path, numbers: dict[int, str]) -> list[Sample]:
    table = _table(path)
    images, masks = _columns(table, path)
    split = split_named(path.relative_to(root).parts[:-1]) or split_named([path.stem])
    samples = []
    for row in range(table.num_rows):
        where = f"{path}, row {row}"
        read_mask = partial(_mask, _content(path, masks, row, where))
        raster = Raster(read_mask, numbers, where, IGNORED - numbers.keys())
        name = _name(table, images, row) or f"{path.relative_to(root).with_suffix('')}/{row:06d}.png"
        image = _content(path, images, row, where)
        samples.append(Sample(name=name, image=image, where=where, raster=raster, split=split))
    return samples


@lru_cache(maxsize=4)
def _table(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        # mapped, not read: a data set may be larger than the memory
        return pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read ({error}). Get the file anew.") from None


def _columns(table: Table, path: Path) -> tuple[str, str]:
    """The columns of images and of masks, by the features that `datasets` describes, else by their names."""
    described = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    pictures = [name for name in table.column_names if features.get(name, {}).get("_type", "Image") == "Image"]
    image = next((name for name in IMAGES if name in pictures), None)
    mask = next((name for name in MASKS if name in pictures), None)
    if image is None or mask is None:
        raise BadInput(
            f"{path}: columns {', '.join(table.column_names)}; expected an image ({', '.join(IMAGES)}) and a mask "
            f"({', '.join(MASKS)}). Rename them."
        )
    return image, mask


def _name(table: Table, column: str, row: int) -> str | None:
    cell = table.column(column)[row].as_py()
    return cell.get("path") if isinstance(cell, dict) and cell.get("path") else None


def _content(path: Path, column: str, row: int, where: str) -> Callable[[], bytes]:
    return partial(_cell, path, column, row, where)


def _cell(path: Path, column: str, row: int, where: str) -> bytes:
    cell: Any = _table(path).column(column)[row].as_py()
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise BadInput(f"{where}, {column}: no picture in it, only a path. Save the data set with its pictures.")
    return content


def _mask(content: Callable[[], bytes]) -> Values:
    return read_indices(Path("mask"), content())


def known(source: Path) -> bool:
    """dataset_dict.json or dataset_info.json with Arrow files, or Parquet files."""
    described = any((source / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))
    return source.is_dir() and (described or any(files_in(source, (".parquet",), 2)))


HUGGINGFACE = Format(name="huggingface", title="Hugging Face datasets", known=known, read=read, takes=("table",))
