"""COCO instances: polygons, run lengths and crowds (cocodataset.org, "Data format"; Lin et al., ECCV 2014)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hardedge.data.importing.areas import Area, CocoRuns, Polygons, box, points_of
from hardedge.data.importing.documents import Json, Place, read_json
from hardedge.data.importing.folders import any_document, base_folders, documents_in
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import BadName, ImageFinder, split_named
from hardedge.data.importing.source import BENEATH, Found, Label, Options, Region, Sample, Source, settled
from hardedge.errors import BadInput

KEYS = ("images", "annotations", "categories")


@dataclass
class Categories:
    """The categories of all files, by id."""

    names: dict[int, str] = field(default_factory=dict)

    def add(self, document: Json, found: Found) -> None:
        """Takes a document's categories; a fault where an id has another name than before."""
        for index, entry in enumerate(document.value["categories"]):
            where = document.at("categories", index)
            if not isinstance(entry, dict) or not _is_id(entry.get("id")) or not isinstance(entry.get("name"), str):
                found.fault(where, "a category needs a number `id` and a text `name`")
            elif self.names.setdefault(entry["id"], entry["name"]) != entry["name"]:
                before = self.names[entry["id"]]
                found.fault(where, f"category {entry['id']} is {entry['name']}, but was {before} before")

    def labels(self) -> tuple[Label, ...]:
        """The labels in the order of their ids, which is COCO's order of classes."""
        return tuple(Label(name) for name in dict.fromkeys(self.names[id] for id in sorted(self.names)))


def read(source: Path, options: Options, found: Found) -> Source:
    """Every JSON file with images, annotations and categories; instances_*.json alone where there are such."""
    paths = documents_in(source, ".json", '"images"') or documents_in(source, ".json", '"annotations"')
    named = [path for path in paths if path.name.startswith("instances")]
    documents = [document_of(path) for path in named or paths]
    if not documents:
        raise BadInput(f"{source} has no COCO annotations: no .json file with {', '.join(KEYS)}.")
    categories = Categories()
    samples: dict[Path, Sample] = {}
    root = source if source.is_dir() else source.parent
    for document in documents:
        found.files.append(document.path)
        categories.add(document, found)
        for sample in _samples(document, root, categories, options, found):
            merge(samples, sample, found)
    return Source(labels=categories.labels(), samples=tuple(samples.values()), order="area")


def document_of(path: Path) -> Json:
    """A COCO document; raises BadInput unless it has COCO's three lists."""
    document = read_json(path)
    if not isinstance(document.value, dict):
        raise BadInput(f"{path}:1: expected an object with {', '.join(KEYS)}, as COCO has.")
    faults = [key for key in KEYS if not isinstance(document.value.get(key), list)]
    if faults:
        raise BadInput(f"{path}:1: {', '.join(faults)}: expected a list, as COCO has.")
    return document


def merge(samples: dict[Path, Sample], sample: Sample, found: Found) -> None:
    """Adds an image; one that is there already gets the further regions."""
    path = Path(str(sample.image))
    if path not in samples:
        samples[path] = sample
        return
    found.note("merged", "image", "listed twice")
    samples[path] = replace(samples[path], regions=samples[path].regions + sample.regions)


def images_of(document: Json, root: Path, options: Options, found: Found) -> dict[int, Sample]:
    """The images by id, without their labels."""
    finder = ImageFinder(root, options.images)
    bases = base_folders(root, document.path)
    split = split_named([document.path.stem]) or split_named([document.path.parent.name])
    images: dict[int, Sample] = {}
    for index, entry in enumerate(document.value["images"]):
        where = document.at("images", index)
        try:
            id, name, size = _image(entry)
            if id in images:
                raise BadName(f"image id {id} is used twice")
            images[id] = Sample(name=name, image=finder.find(name, *bases), where=where, size=size, split=split)
        except BadName as error:
            _missing(error, where, options, found)
    return images


def _missing(error: BadName, where: Place, options: Options, found: Found) -> None:
    if options.skip_missing and " is not in " in str(error):
        found.note("dropped", "image", "its file is missing (--skip-missing)")
    else:
        found.fault(where, error)


def _image(entry: Any) -> tuple[int, str, tuple[int, int] | None]:
    if not isinstance(entry, dict) or not _is_id(entry.get("id")):
        raise BadName("an image needs a number `id` and a text `file_name`")
    name = entry.get("file_name", "")
    height, width = entry.get("height"), entry.get("width")
    if height is None and width is None:
        return entry["id"], name, None
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise BadName(f"image size {width!r}x{height!r}: expected whole numbers above 0")
    return entry["id"], name, (height, width)


def _samples(document: Json, root: Path, categories: Categories, options: Options, found: Found) -> list[Sample]:
    images = images_of(document, root, options, found)
    known = {
        entry.get("id") for entry in document.value["images"] if isinstance(entry, dict) and _is_id(entry.get("id"))
    }
    regions: dict[int, list[Region]] = {id: [] for id in images}
    for index, entry in enumerate(document.value["annotations"]):
        where = document.at("annotations", index)
        try:
            if not isinstance(entry, dict) or not _is_id(entry.get("image_id")) or entry["image_id"] not in known:
                raise ValueError(
                    f"image_id {entry.get('image_id') if isinstance(entry, dict) else entry!r}: no such image"
                )
            category = entry.get("category_id")
            if not _is_id(category) or category not in categories.names:
                raise ValueError(f"category_id {category!r}: no such category")
            if entry["image_id"] in images:
                regions[entry["image_id"]] += _regions(entry, categories.names[category], where, options, found)
        except ValueError as error:
            found.fault(where, error)
    return [replace(sample, regions=tuple(regions[id])) for id, sample in images.items()]


def _regions(entry: dict[str, Any], label: str, where: Place, options: Options, found: Found) -> tuple[Region, ...]:
    area = _area(entry.get("segmentation"))
    if area is None:
        return boxed(entry.get("bbox"), label, where, options, found)
    if entry.get("iscrowd"):
        region = Region(label, area, where, BENEATH)
        return settled(found, region, options.crowds, f"crowd of {label}", f"--crowds {options.crowds}")
    return (Region(label, area, where),)


def _area(segmentation: Any) -> Area | None:
    """None where there is no outline; raises ValueError for what is none of COCO's forms."""
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if not isinstance(size, list) or len(size) != 2 or not all(map(_is_id, size)):
            raise ValueError(f"run lengths of size {size!r}: expected [height, width]")
        if isinstance(counts, str):
            return CocoRuns(counts, (size[0], size[1]))
        if isinstance(counts, list) and all(map(_is_id, counts)):
            return CocoRuns(tuple(counts), (size[0], size[1]))
        raise ValueError("run lengths: `counts` must be a text or a list of whole numbers")
    if segmentation is None or segmentation == [] or segmentation == [[]]:
        return None
    if not isinstance(segmentation, list):
        raise ValueError(f"segmentation {type(segmentation).__name__}: expected polygons or run lengths")
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    if not all(isinstance(polygon, list) for polygon in polygons):
        raise ValueError("segmentation: expected a list of polygons")
    return Polygons(tuple(points_of(polygon) for polygon in polygons))


def boxed(bbox: Any, label: str, where: Place, options: Options, found: Found) -> tuple[Region, ...]:
    """An annotation of a box alone, as --boxes wants it."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        found.note("dropped", f"annotation of {label}", "neither outline nor box")
        return ()
    region = Region(label, box(*_numbers(bbox)), where)
    return settled(found, region, options.boxes, f"box of {label}", BOX)


BOX = "it holds an object, whose pixels it does not tell (--boxes fill paints it)"


def _numbers(values: list[Any]) -> list[float]:
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise ValueError(f"bbox {values}: expected four numbers")
    return values


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def known(source: Path) -> bool:
    """JSON with images and annotations, and no panoptic segments."""
    if any_document(source, ".json", '"segments_info"'):
        return False
    return any_document(source, ".json", '"images"', '"categories"') or any_document(
        source, ".json", '"images"', '"annotations"', '"image_id"'
    )


COCO = Format(
    name="coco", title="COCO instances", known=known, read=read, regions=True, takes=("images", "boxes", "crowds")
)
