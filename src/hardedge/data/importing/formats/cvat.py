"""CVAT for images and for video, XML 1.1: polygons, boxes, ellipses and masks, single or in tracks (docs.cvat.ai)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hardedge.data.importing.areas import Area, CvatRuns, Ellipse, Polygons, points_of
from hardedge.data.importing.documents import Node, read_xml
from hardedge.data.importing.folders import PICTURES, any_document, base_folders, documents_in, files_in, split_of
from hardedge.data.importing.formats.coco import BOX, merge
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import BadName, ImageFinder, split_named
from hardedge.data.importing.source import Color, Found, Label, Options, Region, Sample, Source, settled
from hardedge.errors import BadInput

WITH_AREA = ("polygon", "box", "ellipse", "mask")
WITHOUT_AREA = ("polyline", "points", "skeleton", "cuboid", "tag")
INTERPOLATED = "drawn by CVAT between key frames (--interpolated)"


def read(source: Path, options: Options, found: Found) -> Source:
    """Every XML file of annotations: images by their names, frames of a video as images/frame_000000.*."""
    paths = documents_in(source, ".xml", "<annotations")
    if not paths:
        raise BadInput(f"{source} has no CVAT annotations: no .xml file with <annotations>.")
    root = source if source.is_dir() else source.parent
    labels: dict[str, Label] = {}
    samples: dict[Path, Sample] = {}
    for path in paths:
        found.files.append(path)
        document = read_xml(path)
        labels.update({label.name: label for label in _labels(document)})
        for sample in [*_images(document, path, root, options, found), *_frames(document, path, root, options, found)]:
            merge(samples, sample, found)
    return Source(labels=tuple(labels.values()), samples=tuple(samples.values()))


def _labels(document: Node) -> list[Label]:
    meta = document.inner("meta")
    holders = meta.children if meta else []
    found = []
    for entry in (entry for holder in holders for labels in holder.all("labels") for entry in labels.all("label")):
        name, color = entry.inner("name"), entry.inner("color")
        if name and name.text.strip():
            found.append(Label(name.text.strip(), _color(color.text.strip()) if color else None))
    return found


def _color(text: str) -> Color | None:
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue


def _images(document: Node, path: Path, root: Path, options: Options, found: Found) -> list[Sample]:
    finder, bases = ImageFinder(root, options.images), base_folders(root, path)
    samples = []
    for node in document.all("image"):
        where = f"{path}:{node.line}"
        try:
            name = node.attributes.get("name", "")
            size = (_whole(node, "height"), _whole(node, "width"))
            subset = split_named([node.attributes.get("subset", "")])
            image = finder.find(name, *(base / (node.attributes.get("subset") or ".") for base in bases), *bases)
            sample = Sample(name=name, image=image, where=where, size=size, split=subset or split_of(image, root))
            samples.append(replace(sample, regions=_regions(node, path, options, found)))
        except BadName as error:
            if options.skip_missing and " is not in " in str(error):
                found.note("dropped", "image", "its file is missing (--skip-missing)")
            else:
                found.fault(where, error)
        except ValueError as error:
            found.fault(where, error)
    return samples


def _regions(image: Node, path: Path, options: Options, found: Found) -> tuple[Region, ...]:
    regions: list[Region] = []
    for shape in image.children:
        try:
            regions += _region(shape, shape.attributes.get("label", ""), path, options, found)
        except ValueError as error:
            found.fault(f"{path}:{shape.line}", error)
    return tuple(regions)


def _region(shape: Node, label: str, path: Path, options: Options, found: Found) -> tuple[Region, ...]:
    if shape.tag in WITHOUT_AREA:
        found.note("dropped", f"{shape.tag} of {label}", "it has no area")
        return ()
    if shape.tag not in WITH_AREA:
        raise ValueError(f"<{shape.tag}>: not one of CVAT's shapes")
    if not label:
        raise ValueError(f"<{shape.tag}> without a label")
    rank = _whole(shape, "z_order") if "z_order" in shape.attributes else 0
    region = Region(label, _area(shape), f"{path}:{shape.line}", rank)
    if _flag(shape, "ignore") or _flag(shape, "ignored"):
        found.note("ignored", f"{shape.tag} of {label}", "its attribute `ignore` is true")
        return (replace(region, label=None),)
    if shape.tag == "box":
        return settled(found, region, options.boxes, f"box of {label}", BOX)
    return (region,)


def _flag(shape: Node, name: str) -> bool:
    return any(
        entry.attributes.get("name", "").lower() == name and entry.text.strip().lower() in ("true", "1", "yes")
        for entry in shape.all("attribute")
    )


def _area(shape: Node) -> Area:
    if shape.tag == "polygon":
        pairs = shape.attributes.get("points", "").split(";")
        return Polygons((points_of([_float(number) for pair in pairs if pair for number in pair.split(",")]),))
    if shape.tag == "box":
        return _box(shape)
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = (_number(shape, name) for name in ("cx", "cy", "rx", "ry"))
        return Ellipse(x, y, radius_x, radius_y, _rotation(shape))
    counts = tuple(int(_float(count)) for count in shape.attributes.get("rle", "").split(",") if count.strip())
    size = (_whole(shape, "height"), _whole(shape, "width"))
    return CvatRuns(counts, _whole(shape, "left"), _whole(shape, "top"), size)


def _box(shape: Node) -> Polygons:
    """A box, turned clockwise about its middle."""
    left, top, right, bottom = (_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    angle = np.deg2rad(_rotation(shape))
    middle = np.array([left + right, top + bottom]) / 2
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - middle
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return Polygons((points_of((corners @ turn + middle).reshape(-1).tolist()),))


def _rotation(shape: Node) -> float:
    return _number(shape, "rotation") if "rotation" in shape.attributes else 0.0


def _frames(document: Node, path: Path, root: Path, options: Options, found: Found) -> list[Sample]:
    """The frames of a video, each with the shapes that its tracks have there; those of `outside` are not there."""
    tracks = list(document.all("track"))
    if not tracks:
        return []
    shapes: dict[int, list[Region]] = {}
    for track in tracks:
        label = track.attributes.get("label", "")
        for shape in track.children:
            try:
                if shape.attributes.get("outside") != "1":
                    shapes.setdefault(_whole(shape, "frame"), []).extend(_of_track(shape, label, path, options, found))
            except ValueError as error:
                found.fault(f"{path}:{shape.line}", error)
    files = _frame_files(root, options)
    for frame in sorted(shapes.keys() - files.keys()):
        found.fault(path, f"frame {frame} has shapes, but there is no image frame_{frame:06d}.* in images/")
    size = _video_size(document)
    return [
        Sample(name=file.name, image=file, where=path, size=size, regions=tuple(shapes.get(frame, ())))
        for frame, file in sorted(files.items())
    ]


def _of_track(shape: Node, label: str, path: Path, options: Options, found: Found) -> tuple[Region, ...]:
    regions = _region(shape, label, path, options, found)
    if shape.attributes.get("keyframe", "1") == "1" or not regions:
        return regions
    if options.interpolated == "fill":
        found.note("read", f"interpolated {shape.tag} of {label}", INTERPOLATED)
    return tuple(
        each
        for region in regions
        for each in settled(found, region, options.interpolated, f"interpolated {shape.tag} of {label}", INTERPOLATED)
    )


def _frame_files(root: Path, options: Options) -> dict[int, Path]:
    folder = options.images or (root / "images" if (root / "images").is_dir() else root)
    numbers = {path: path.stem.removeprefix("frame_") for path in files_in(folder, PICTURES)}
    return {int(number): path for path, number in numbers.items() if number.isascii() and number.isdigit()}


def _video_size(document: Node) -> tuple[int, int] | None:
    for holder in ("task", "job", "project"):
        node = document.inner("meta", holder, "original_size")
        width, height = (node.inner("width"), node.inner("height")) if node else (None, None)
        if width and height and width.text.strip().isdigit() and height.text.strip().isdigit():
            return int(height.text), int(width.text)
    return None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not a number") from None


def _number(node: Node, name: str) -> float:
    if name not in node.attributes:
        raise ValueError(f"<{node.tag}> has no `{name}`")
    return _float(node.attributes[name])


def _whole(node: Node, name: str) -> int:
    number = _number(node, name)
    if not number.is_integer():
        raise ValueError(f"<{node.tag}>, {name}: expected a whole number, got {node.attributes[name]}")
    return int(number)


def known(source: Path) -> bool:
    """XML with <annotations> that has images or tracks."""
    return any_document(source, ".xml", "<annotations", "<image ") or any_document(
        source, ".xml", "<annotations", "<track "
    )


CVAT = Format(
    name="cvat", title="CVAT XML", known=known, read=read, regions=True, takes=("images", "boxes", "interpolated")
)
