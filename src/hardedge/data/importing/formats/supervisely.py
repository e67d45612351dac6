"""Supervisely's project: meta.json, and in each data set img/NAME with ann/NAME.json (polygons with holes, bitmaps)."""

from __future__ import annotations

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

from hardedge.data.importing.areas import Area, Bitmap, Polygons, box, points_of
from hardedge.data.importing.documents import Json, Place, read_json
from hardedge.data.importing.folders import PICTURES, files_in
from hardedge.data.importing.formats.coco import BOX
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import split_named
from hardedge.data.importing.pictures import flags_of
from hardedge.data.importing.polygons import Flags, Points
from hardedge.data.importing.source import Color, Found, Label, Options, Region, Sample, Source, settled
from hardedge.errors import BadInput

WITHOUT_AREA = ("line", "point", "cuboid", "graph", "cuboid_3d", "any")
MOST_BYTES = 1 << 28  # of an unpacked bitmap


def read(source: Path, options: Options, found: Found) -> Source:
    """Every data set of the project; a data set's name or an image's tag of train, val or test is its split."""
    path = source / "meta.json"
    if not path.is_file():
        raise BadInput(f"{source} has no meta.json, as a Supervisely project has.")
    found.files.append(path)
    labels = _labels(read_json(path), found)
    samples = []
    for folder in _data_sets(source):
        for image in files_in(folder / "img", PICTURES):
            annotation = folder / "ann" / f"{image.name}.json"
            if not annotation.is_file():
                annotation = folder / "ann" / f"{image.stem}.json"  # older exports
            if not annotation.is_file():
                found.fault(image, f"no annotation ann/{image.name}.json")
                continue
            found.files.append(annotation)
            try:
                samples.append(_sample(image, read_json(annotation), source, options, found))
            except BadInput as error:
                found.faults.append(str(error))
    return Source(labels=labels, samples=tuple(samples))


def _data_sets(source: Path) -> list[Path]:
    return sorted(path.parent for path in source.rglob("ann") if path.is_dir() and (path.parent / "img").is_dir())


def _labels(document: Json, found: Found) -> tuple[Label, ...]:
    classes = document.value.get("classes") if isinstance(document.value, dict) else None
    if not isinstance(classes, list):
        raise BadInput(f"{document.path}:1: expected an object with a list `classes`, as Supervisely has.")
    labels = []
    for index, entry in enumerate(classes):
        if not isinstance(entry, dict) or not isinstance(entry.get("title"), str):
            found.fault(document.at("classes", index), "a class needs a text `title`")
        else:
            labels.append(Label(entry["title"], _color(entry.get("color"))))
    return tuple(labels)


def _color(text: Any) -> Color | None:
    try:
        red, green, blue = bytes.fromhex(str(text).removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue


def _sample(image: Path, document: Json, root: Path, options: Options, found: Found) -> Sample:
    value = document.value
    size = value.get("size") if isinstance(value, dict) else None
    if not isinstance(size, dict) or not isinstance(value.get("objects"), list):
        raise BadInput(f"{document.path}:1: expected an object with `size` and a list `objects`, as Supervisely has.")
    regions: list[Region] = []
    for index, entry in enumerate(value["objects"]):
        where = document.at("objects", index)
        try:
            regions += _regions(entry, where, options, found)
        except ValueError as error:
            found.fault(where, error)
    tags = [str(tag.get("name")) for tag in _list(value.get("tags")) if isinstance(tag, dict)]
    height, width = size.get("height"), size.get("width")
    return Sample(
        name=image.relative_to(root).as_posix(),
        image=image,
        where=document.path,
        size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        regions=tuple(regions),
        split=split_named(tags) or split_named(image.relative_to(root).parts[:-2]),
    )


def _regions(entry: Any, where: Place, options: Options, found: Found) -> tuple[Region, ...]:
    if not isinstance(entry, dict) or not isinstance(entry.get("classTitle"), str):
        raise ValueError("an object needs a text `classTitle`")
    kind = entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon")
    if kind in WITHOUT_AREA:
        found.note("dropped", f"{kind} of {entry['classTitle']}", "it has no area")
        return ()
    region = Region(entry["classTitle"], _area(kind, entry), where)
    if kind == "rectangle":
        return settled(found, region, options.boxes, f"rectangle of {region.label}", BOX)
    return (region,)


def _area(kind: str, entry: dict[str, Any]) -> Area:
    if kind == "bitmap":
        bitmap = entry.get("bitmap")
        origin = bitmap.get("origin") if isinstance(bitmap, dict) else None
        if not isinstance(bitmap, dict) or not isinstance(origin, list) or not all(isinstance(n, int) for n in origin):
            raise ValueError("a bitmap needs `data` and an `origin` of two whole numbers")
        return Bitmap(origin[0], origin[1], _unpacked(bitmap.get("data")))
    if kind not in ("polygon", "rectangle"):
        raise ValueError(f"geometryType {kind}: not one of Supervisely's")
    given = entry.get("points")
    points: dict[str, Any] = given if isinstance(given, dict) else {}
    outline = _outline(points.get("exterior"), 2 if kind == "rectangle" else 3)
    if kind == "rectangle":
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        return box(left, top, right - left, bottom - top)
    return Polygons((outline,), tuple(_outline(hole, 3) for hole in _list(points.get("interior"))))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _outline(points: Any, least: int) -> Points:
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("`points` must be lists of [x, y]")
    numbers = [number for point in points for number in point]
    if len(points) == 2 == least:
        (left, top), (right, bottom) = points
        return points_of([left, top, right, top, right, bottom])
    return points_of(numbers)


def _unpacked(data: Any) -> Flags:
    """A bitmap: base64 of a compressed PNG, whose opaque pixels are the region."""
    try:
        return flags_of(zlib.decompressobj().decompress(base64.b64decode(str(data)), MOST_BYTES))
    except (binascii.Error, zlib.error, BadInput) as error:
        raise ValueError(f"bitmap `data` cannot be read ({error})") from None


def known(source: Path) -> bool:
    """meta.json beside a data set with img and ann."""
    inner = sorted(path for path in source.iterdir() if path.is_dir()) if (source / "meta.json").is_file() else []
    return any((folder / "ann").is_dir() and (folder / "img").is_dir() for folder in inner)


SUPERVISELY = Format(name="supervisely", title="Supervisely", known=known, read=read, regions=True, takes=("boxes",))
