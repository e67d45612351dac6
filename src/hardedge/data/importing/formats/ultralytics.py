"""Ultralytics' data.yaml: labels/NAME.txt with a polygon a line, or mask PNGs in masks_dir (docs.ultralytics.com)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hardedge.data.importing.areas import Relative
from hardedge.data.importing.documents import lines_of, read_yaml
from hardedge.data.importing.folders import PICTURES, files_in
from hardedge.data.importing.formats.coco import BOX
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import BadName, ImageFinder
from hardedge.data.importing.rasters import indexed
from hardedge.data.importing.source import Found, Label, Options, Raster, Region, Sample, Source, settled
from hardedge.errors import BadInput

SPLITS = ("train", "val", "test")
OUTSIDE = 1e-3  # how far beyond 0..1 a rounded coordinate may be


def read(source: Path, options: Options, found: Found) -> Source:
    """The images of train, val and test; without a label file an image has no objects, as in Ultralytics itself."""
    path = _yaml(source)
    if path is None:
        raise BadInput(f"{source} has no data.yaml with train and names, as Ultralytics has.")
    found.files.append(path)
    settings = read_yaml(path)
    names = _names(settings.get("names"), path)
    samples: list[Sample] = []
    for split in SPLITS:
        for image, name in _images(settings, split, path, options, found):
            samples.append(_sample(image, name, split, names, settings.get("masks_dir"), options, found))
    return Source(labels=tuple(Label(names[key]) for key in sorted(names)), samples=tuple(samples), order="area")


def _yaml(source: Path) -> Path | None:
    paths = [source] if source.is_file() else [source / "data.yaml", *sorted(source.glob("*.y*ml"))]
    paths = [path for path in paths if path.is_file() and path.suffix.lower() in (".yaml", ".yml")]
    return next((path for path in paths if _looks_right(path)), None)


def _looks_right(path: Path) -> bool:
    try:
        lines = [line for _, line in lines_of(path)]
    except BadInput:
        return False
    return all(any(line.startswith(f"{key}:") for line in lines) for key in ("train", "names"))


def _names(names: Any, path: Path) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(key, int) and key >= 0 for key in names):
        raise BadInput(f"{path}, names: expected a list of names, or numbers with names.")
    return {key: str(name) for key, name in names.items()}


def _images(settings: dict[str, Any], split: str, path: Path, options: Options, found: Found) -> list[tuple[Path, str]]:
    """The images of a split, each with its name below the split's folder."""
    entries = settings.get(split)
    images: list[tuple[Path, str]] = []
    for entry in entries if isinstance(entries, list) else [entries] if entries else []:
        place = _place(str(entry), settings.get("path"), path)
        if place is None:
            found.fault(path, f"{split}: {entry} is not there")
        elif place.is_dir():
            images += [(image, f"{split}/{image.relative_to(place).as_posix()}") for image in files_in(place, PICTURES)]
        else:
            found.files.append(place)
            images += _listed(place, path, options, found)
    return images


def _place(entry: str, base: Any, path: Path) -> Path | None:
    """The folder or list of a split: below `path` of the file, or beside the file, whatever it is said to be above."""
    plain = entry.replace("\\", "/")
    inner = "/".join(part for part in PurePosixPath(plain).parts if part not in ("..", "/"))
    folders = [path.parent / str(base or "."), path.parent]
    candidates = [folder / name for folder in folders for name in (plain, inner)]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _listed(place: Path, path: Path, options: Options, found: Found) -> list[tuple[Path, str]]:
    finder = ImageFinder(path.parent, options.images)
    images = []
    for number, line in lines_of(place):
        try:
            images.append((finder.find(line.removeprefix("./"), place.parent, path.parent), line.removeprefix("./")))
        except BadName as error:
            found.fault(f"{place}:{number}", error)
    return images


def _sample(
    image: Path, name: str, split: str, names: dict[int, str], masks_dir: Any, options: Options, found: Found
) -> Sample:
    regions: tuple[Region, ...] = ()
    raster: Raster | None = None
    if masks_dir:
        raster = _mask(_beside(image, str(masks_dir)), image, names, found)
    else:
        labels = _beside(image, "labels").with_suffix(".txt")
        if labels.is_file():
            found.files.append(labels)
            regions = _regions(labels, names, options, found)
        else:
            found.note("read", "image without a label file", "it has no objects, as in Ultralytics itself")
    return Sample(name=name, image=image, where=image, regions=regions, raster=raster, split=split)


def _mask(path: Path, image: Path, names: dict[int, str], found: Found) -> Raster | None:
    file = next(
        (path.with_suffix(end) for end in (".png", ".PNG", ".bmp", ".tif") if path.with_suffix(end).is_file()), None
    )
    if file is None:
        found.fault(image, f"no mask {path.with_suffix('.png')}")
        return None
    found.files.append(file)
    return indexed(file, names)


def _beside(image: Path, folder: str) -> Path:
    """The image's path with its last folder `images` replaced, as Ultralytics does."""
    parts = list(image.parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = folder
    return Path(*parts)


def _regions(path: Path, names: dict[int, str], options: Options, found: Found) -> tuple[Region, ...]:
    regions: list[Region] = []
    for number, line in lines_of(path):
        where = f"{path}:{number}"
        try:
            regions += _region(line, where, names, options, found)
        except ValueError as error:
            found.fault(where, error)
    return tuple(regions)


def _region(line: str, where: str, names: dict[int, str], options: Options, found: Found) -> tuple[Region, ...]:
    numbers = [_number(word) for word in line.split()]
    index, places = numbers[0], np.array(numbers[1:])
    if not float(index).is_integer() or int(index) not in names:
        raise ValueError(f"class {line.split()[0]}, but data.yaml names {min(names)}-{max(names)}")
    if len(places) != 4 and (len(places) < 6 or len(places) % 2):
        raise ValueError(f"{len(places)} coordinates; expected 4 of a box, or x and y of at least 3 corners")
    if places.min() < -OUTSIDE or places.max() > 1 + OUTSIDE:
        raise ValueError("a coordinate outside 0..1: they are shares of the image's width and height")
    label = names[int(index)]
    if len(places) == 4:
        x, y, width, height = places
        left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return settled(found, Region(label, Relative(corners), where), options.boxes, f"box of {label}", BOX)
    return (Region(label, Relative(places.reshape(-1, 2)), where),)


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a number") from None
    if not np.isfinite(number):
        raise ValueError(f"{word} is not a number")
    return number


def known(source: Path) -> bool:
    """A YAML file with train and names."""
    return _yaml(source) is not None


ULTRALYTICS = Format(
    name="ultralytics", title="Ultralytics", known=known, read=read, regions=True, takes=("images", "boxes")
)
