"""COCO panoptic: PNGs of segment numbers, and JSON that says each segment's category (Kirillov et al., CVPR 2019)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hardedge.data.importing.documents import Json, Place
from hardedge.data.importing.folders import any_document, documents_in
from hardedge.data.importing.formats.coco import Categories, document_of, images_of, merge
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import plain_path
from hardedge.data.importing.pictures import read_colors
from hardedge.data.importing.source import Found, Label, Options, Raster, Sample, Source, Values
from hardedge.errors import BadInput


def read(source: Path, options: Options, found: Found) -> Source:
    """panoptic_*.json with the folder of PNGs of the same name; segment 0 is unlabelled."""
    documents = [document_of(path) for path in documents_in(source, ".json", '"segments_info"')]
    if not documents:
        raise BadInput(f"{source} has no COCO panoptic annotations: no .json file with segments_info.")
    root = source if source.is_dir() else source.parent
    categories = Categories()
    samples: dict[Path, Sample] = {}
    for document in documents:
        found.files.append(document.path)
        categories.add(document, found)
        for sample in _samples(document, root, categories, options, found):
            merge(samples, sample, found)
    colors = _colors(documents)
    labels = tuple(Label(label.name, colors.get(label.name)) for label in categories.labels())
    return Source(labels=labels, samples=tuple(samples.values()))


def _colors(documents: list[Json]) -> dict[str, tuple[int, int, int]]:
    found = {}
    for entry in (entry for document in documents for entry in document.value["categories"] if isinstance(entry, dict)):
        color = entry.get("color")
        if isinstance(color, list) and len(color) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in color):
            found[str(entry.get("name"))] = (color[0], color[1], color[2])
    return found


def _samples(document: Json, root: Path, categories: Categories, options: Options, found: Found) -> list[Sample]:
    images = images_of(document, root, options, found)
    listed = {entry.get("id") for entry in document.value["images"] if isinstance(entry, dict)}
    samples = []
    uses: Counter[Any] = Counter()
    for index, entry in enumerate(document.value["annotations"]):
        where = document.at("annotations", index)
        try:
            id = entry.get("image_id") if isinstance(entry, dict) else None
            if not isinstance(id, int) or id not in listed:
                raise ValueError(f"image_id {id!r}: no such image")
            uses[id] += 1
            if uses[id] > 1:
                raise ValueError(f"image {id} has a second panoptic annotation")
            raster = _raster(entry, document, categories, options, where, found)
            if id in images:
                samples.append(replace(images[id], raster=raster))
        except ValueError as error:
            found.fault(where, error)
    without = [id for id in images if not uses[id]]
    return samples + [images[id] for id in without]


def _raster(
    entry: dict[str, Any], document: Json, categories: Categories, options: Options, where: Place, found: Found
) -> Raster:
    name = plain_path(entry.get("file_name"))
    folder = document.path.with_suffix("")
    bases = (folder, document.path.parent, document.path.parent.parent / folder.name)
    path = next((base / name for base in bases if (base / name).is_file()), None)
    if path is None or ".." in name.parts:
        raise ValueError(f"segments {name} are not in {folder}/")
    found.files.append(path)
    labels: dict[int, str] = {}
    left: dict[str, set[int]] = {"ignore": set(), "drop": {0}}
    for segment in entry["segments_info"] if isinstance(entry.get("segments_info"), list) else ():
        number, label = _segment(segment, categories)
        if segment.get("iscrowd"):
            done = {"fill": "read", "ignore": "ignored", "drop": "dropped"}[options.crowds]
            found.note(done, f"crowd of {label}", f"--crowds {options.crowds}")
        if segment.get("iscrowd") and options.crowds != "fill":
            left[options.crowds].add(number)
        else:
            labels[number] = label
    ignored, unlabelled = frozenset(left["ignore"]), frozenset(left["drop"])
    return Raster(partial(_segments, path), labels, where, ignored, unlabelled, shown="segment {}".format)


def _segment(segment: Any, categories: Categories) -> tuple[int, str]:
    category = segment.get("category_id") if isinstance(segment, dict) else None
    if not isinstance(category, int) or category not in categories.names:
        raise ValueError(f"segment with category_id {category!r}: no such category")
    if not isinstance(segment.get("id"), int):
        raise ValueError(f"segment with id {segment.get('id')!r}: expected a whole number")
    return segment["id"], categories.names[category]


def _segments(path: Path) -> Values:
    """Segment numbers: red + 256 green + 65536 blue."""
    colors = read_colors(path)
    swapped: Values = (colors >> 16) | (colors & 0xFF00) | (colors & 0xFF) << 16
    return swapped


def known(source: Path) -> bool:
    """JSON with segments_info."""
    return any_document(source, ".json", '"segments_info"')


COCO_PANOPTIC = Format(
    name="coco-panoptic", title="COCO panoptic", known=known, read=read, regions=True, takes=("images", "crowds")
)
