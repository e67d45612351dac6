"""LabelMe: a JSON file an image with polygons, circles, rectangles and bitmaps (the labelme tool, versions 3 to 5)."""

from __future__ import annotations

import base64
import binascii
from functools import partial
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np

from hardedge.data.importing.areas import Bitmap, Ellipse, Polygons, box, points_of
from hardedge.data.importing.documents import Json, Place, lines_of, read_json
from hardedge.data.importing.folders import PICTURES, any_document, documents_in, files_in, split_of
from hardedge.data.importing.formats.coco import BOX, merge
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import BadName, ImageFinder, plain_path
from hardedge.data.importing.pictures import flags_of
from hardedge.data.importing.source import CLEARED, Found, Label, Options, Picture, Region, Sample, Source, settled
from hardedge.errors import BadInput

BACKGROUND, IGNORE = "_background_", "__ignore__"  # LabelMe's own names
WITHOUT_AREA = ("line", "linestrip", "point", "points")


def read(source: Path, options: Options, found: Found) -> Source:
    """Every JSON file with shapes. labels.txt, where there is one, gives the order of the classes."""
    paths = documents_in(source, ".json", '"shapes"', depth=8)
    if not paths:
        raise BadInput(f"{source} has no LabelMe annotations: no .json file with `shapes`.")
    root = source if source.is_dir() else source.parent
    samples: dict[Path, Sample] = {}
    for path in paths:
        found.files.append(path)
        try:
            merge(samples, _sample(read_json(path), root, options, found), found)
        except (BadInput, BadName) as error:
            _fault(error, path, options, found)
    unlabelled = set(files_in(root, PICTURES)) - samples.keys()
    if unlabelled:
        found.note("dropped", "image", "no JSON file of it", len(unlabelled))
    return Source(labels=_labels(root / "labels.txt", found), samples=tuple(samples.values()))


def _fault(error: Exception, path: Path, options: Options, found: Found) -> None:
    if isinstance(error, BadName) and options.skip_missing and " is not in " in str(error):
        found.note("dropped", "image", "its file is missing (--skip-missing)")
    else:
        found.faults.append(str(error) if isinstance(error, BadInput) else f"{path}: {error}")


def _labels(path: Path, found: Found) -> tuple[Label, ...]:
    if not path.is_file():
        return ()
    found.files.append(path)
    return tuple(Label(name) for _, name in lines_of(path) if name not in (BACKGROUND, IGNORE))


def _sample(document: Json, root: Path, options: Options, found: Found) -> Sample:
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
        raise BadInput(f"{document.path}:1: expected an object with a list `shapes`, as LabelMe has.")
    size = (value.get("imageHeight"), value.get("imageWidth"))
    regions: list[Region] = []
    for index, shape in enumerate(value["shapes"]):
        where = document.at("shapes", index)
        try:
            regions += _regions(shape, where, options, found)
        except ValueError as error:
            found.fault(where, error)
    name = value.get("imagePath")
    image = _image(document, name, root, options)
    known = image.relative_to(root).as_posix() if isinstance(image, Path) and image.is_relative_to(root) else str(name)
    return Sample(
        name=known,
        image=image,
        where=document.path,
        size=(size[0], size[1]) if isinstance(size[0], int) and isinstance(size[1], int) else None,
        regions=tuple(regions),
        split=split_of(document.path, root),
    )


def _image(document: Json, name: Any, root: Path, options: Options) -> Picture:
    """The file that imagePath names, one of its name beside the JSON file, or the copy within the JSON file."""
    folder = document.path.parent
    finder = ImageFinder(root, options.images)
    try:
        return finder.find(name, folder, root, root / "images")
    except BadName:
        beside = folder / plain_path(name).name
        if beside.is_file():
            return beside
        content = document.value.get("imageData")
        if not isinstance(content, str):
            raise
        return partial(_decoded, content)


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=False)
    except binascii.Error as error:
        raise BadInput(f"imageData is not base64 ({error}).") from None


def _regions(shape: Any, where: Place, options: Options, found: Found) -> tuple[Region, ...]:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
        raise ValueError("a shape needs a `label`")
    label, kind = shape["label"], shape.get("shape_type") or "polygon"
    if kind in WITHOUT_AREA:
        found.note("dropped", f"{kind} of {label}", "it has no area")
        return ()
    points = _points(shape.get("points"))
    region = Region({IGNORE: None, BACKGROUND: CLEARED}.get(label, label), _area(kind, points, shape), where)
    if kind == "rectangle" and region.label:
        return settled(found, region, options.boxes, f"rectangle of {label}", BOX)
    return (region,)


def _points(points: Any) -> list[list[float]]:
    pairs = points if isinstance(points, list) else []
    if not pairs or not all(isinstance(point, list) and len(point) == 2 for point in pairs):
        raise ValueError("`points` must be a list of [x, y]")
    if any(isinstance(number, bool) or not isinstance(number, int | float) for point in pairs for number in point):
        raise ValueError("a point's x and y must be numbers")
    return pairs


def _area(kind: str, points: list[list[float]], shape: dict[str, Any]) -> Polygons | Ellipse | Bitmap:
    if kind == "polygon":
        return Polygons((points_of([number for point in points for number in point]),))
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"shape_type {kind}: not one of LabelMe's")
    if len(points) != 2:
        raise ValueError(f"a {kind} of {len(points)} points; expected 2")
    (x, y), (end_x, end_y) = points
    if kind == "circle":
        radius = hypot(end_x - x, end_y - y)
        return Ellipse(x, y, radius, radius)
    left, top = min(x, end_x), min(y, end_y)
    if kind == "rectangle":
        return box(left, top, abs(end_x - x), abs(end_y - y))
    return Bitmap(round(left), round(top), _bitmap(shape.get("mask")))


def _bitmap(mask: Any) -> np.ndarray:
    if not isinstance(mask, str):
        raise ValueError("a shape of type mask needs its `mask`")
    try:
        return flags_of(base64.b64decode(mask))
    except (binascii.Error, BadInput) as error:
        raise ValueError(f"`mask` cannot be read ({error})") from None


def known(source: Path) -> bool:
    """JSON with shapes and an image's path or size."""
    return any_document(source, ".json", '"shapes"', '"image')


LABELME = Format(name="labelme", title="LabelMe", known=known, read=read, regions=True, takes=("images", "boxes"))
