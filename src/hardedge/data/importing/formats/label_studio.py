"""Label Studio's JSON export: brushes, polygons, ellipses and rectangles (labelstud.io, "Export annotations")."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hardedge.data.importing.areas import Area, Brush, Ellipse, Polygons, box, points_of
from hardedge.data.importing.documents import Json, Place, read_json
from hardedge.data.importing.folders import any_document, base_folders, documents_in, split_of
from hardedge.data.importing.formats.coco import BOX, merge
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import BadName, ImageFinder
from hardedge.data.importing.source import Found, Options, Region, Sample, Source, settled
from hardedge.errors import BadInput

LABELS = ("brushlabels", "polygonlabels", "ellipselabels", "rectanglelabels", "labels")
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before the name of an uploaded file


def read(source: Path, options: Options, found: Found) -> Source:
    """Tasks of the JSON export (not JSON_MIN); images are looked for by name, nothing is downloaded."""
    paths = documents_in(source, ".json", '"annotations"', '"data"')
    if not paths:
        raise BadInput(f"{source} has no Label Studio export: no .json file of tasks with `data` and `annotations`.")
    root = source if source.is_dir() else source.parent
    samples: dict[Path, Sample] = {}
    for path in paths:
        found.files.append(path)
        document = read_json(path)
        if not isinstance(document.value, list):
            raise BadInput(f"{path}:1: expected a list of tasks. Export as JSON, not as JSON_MIN.")
        for index in range(len(document.value)):
            try:
                sample = _sample(document, index, root, options, found)
                if sample:
                    merge(samples, sample, found)
            except BadName as error:
                if options.skip_missing and " is not in " in str(error):
                    found.note("dropped", "image", "its file is missing (--skip-missing)")
                else:
                    found.fault(document.at(index), error)
    return Source(labels=(), samples=tuple(samples.values()))


def _sample(document: Json, index: int, root: Path, options: Options, found: Found) -> Sample | None:
    task = document.value[index]
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise BadName("a task needs its `data`")
    place = _chosen(task.get("annotations"), found)
    if place is None:
        found.note("dropped", "image", "its task has no annotation")
        return None
    name = _image_name(task["data"])
    image = _image(name, ImageFinder(root, options.images), base_folders(root, document.path))
    results = task["annotations"][place].get("result")
    regions: list[Region] = []
    sizes: set[tuple[int, int]] = set()
    for number, result in enumerate(results if isinstance(results, list) else ()):
        where = document.at(index, "annotations", place, "result", number)
        try:
            of_result = _size(result)
            regions += _regions(result, of_result, where, options, found)
            sizes.add(of_result)
        except ValueError as error:
            found.fault(where, error)
    return Sample(
        name=image.name,
        image=image,
        where=document.at(index),
        size=sizes.pop() if len(sizes) == 1 else None,
        regions=tuple(regions),
        split=split_of(image, root),
    )


def _chosen(annotations: Any, found: Found) -> int | None:
    """The annotation that is the ground truth, else the one that was updated last; cancelled ones are left out."""
    entries = annotations if isinstance(annotations, list) else []
    usable = [
        place for place, entry in enumerate(entries) if isinstance(entry, dict) and not entry.get("was_cancelled")
    ]
    if not usable:
        return None
    if len(usable) > 1:
        why = "another one of its task is the ground truth, or was updated later"
        found.note("dropped", "annotation", why, len(usable) - 1)
    return max(
        usable, key=lambda place: (bool(entries[place].get("ground_truth")), str(entries[place].get("updated_at", "")))
    )


def _image_name(data: dict[str, Any]) -> str:
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    named = texts.get("image") or next((text for text in texts.values() if re.search(r"\.\w{3,4}$", text)), None)
    if not named:
        raise BadName("`data` names no image")
    return named


def _image(name: str, finder: ImageFinder, bases: tuple[Path, ...]) -> Path:
    url = urlsplit(name.replace("\\", "/"))
    inside = parse_qs(url.query).get("d", [""])[0]  # /data/local-files/?d=FOLDER/NAME
    path = unquote(inside or url.path)
    last = path.rpartition("/")[2]
    for candidate in dict.fromkeys((path.lstrip("/"), last, UPLOADED.sub("", last))):
        try:
            return finder.find(candidate, *bases)
        except BadName as error:
            first = error
    raise BadName(f"{first}" if last else f"{name} names no image")


def _size(result: Any) -> tuple[int, int]:
    if not isinstance(result, dict):
        raise ValueError("a result must be an object")
    size = (result.get("original_height"), result.get("original_width"))
    if not isinstance(size[0], int) or not isinstance(size[1], int):
        raise ValueError("a result needs original_width and original_height")
    if result.get("image_rotation"):
        raise ValueError(f"the image is turned by {result['image_rotation']} degrees. Turn it back in Label Studio")
    return size[0], size[1]


def _regions(
    result: dict[str, Any], size: tuple[int, int], where: Place, options: Options, found: Found
) -> tuple[Region, ...]:
    kind, value = str(result.get("type")), result.get("value")
    if not isinstance(value, dict):
        raise ValueError("a result needs its `value`")
    names = next((value[key] for key in LABELS if isinstance(value.get(key), list) and value[key]), None)
    area = _area(value, size)
    if area is None:
        found.note("dropped", f"result of type {kind}", "it has no area")
        return ()
    if not names:
        found.note("dropped", f"result of type {kind}", "it has no label")
        return ()
    if len(names) > 1:
        found.note("read", f"region of {names[0]}", "the first of its several labels")
    region = Region(str(names[0]), area, where)
    if "width" in value and "rle" not in value:
        return settled(found, region, options.boxes, f"rectangle of {names[0]}", BOX)
    return (region,)


def _area(value: dict[str, Any], size: tuple[int, int]) -> Area | None:
    height, width = size
    if "rle" in value:
        if not isinstance(value["rle"], list):
            raise ValueError("`rle` must be a list of bytes")
        return Brush(tuple(value["rle"]))
    if "points" in value:
        if value.get("closed") is False:
            return None
        points = value["points"]
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise ValueError("`points` must be a list of [x, y]")
        return Polygons((points_of([number for point in points for number in point]) * (width / 100, height / 100),))
    if "radiusX" in value:
        x, y, across, down = (_number(value, key) for key in ("x", "y", "radiusX", "radiusY"))
        scaled = x * width / 100, y * height / 100, across * width / 100, down * height / 100
        return Ellipse(*scaled, degrees=_number(value, "rotation", 0))
    if "width" in value and "height" in value:
        x, y, across, down = (_number(value, key) for key in ("x", "y", "width", "height"))
        scaled = x * width / 100, y * height / 100, across * width / 100, down * height / 100
        return box(*scaled, degrees=_number(value, "rotation", 0))
    return None


def _number(value: dict[str, Any], key: str, absent: float | None = None) -> float:
    number = value.get(key, absent)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"`{key}` must be a number")
    return number


def known(source: Path) -> bool:
    """JSON of tasks whose results say which tool they are from."""
    return any_document(source, ".json", '"annotations"', '"data"', '"result"')


LABEL_STUDIO = Format(
    name="label-studio", title="Label Studio", known=known, read=read, regions=True, takes=("images", "boxes")
)
