"""CVAT's "Segmentation mask 1.1": SegmentationClass/NAME.png in the colours of labelmap.txt, lists in ImageSets/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hardedge.data.importing.documents import lines_of
from hardedge.data.importing.folders import PICTURES, by_stem, first_folder
from hardedge.data.importing.formats.colors import colored
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import split_named
from hardedge.data.importing.rasters import IMAGES, number_of
from hardedge.data.importing.source import Found, Label, Options, Sample, Source
from hardedge.data.importing.tables import color_of, read_table, require_kind
from hardedge.errors import BadInput


def read(source: Path, options: Options, found: Found) -> Source:
    """The ids of every list in ImageSets/Segmentation; images in JPEGImages/ or --images: CVAT may leave them out."""
    path, masks = source / "labelmap.txt", source / "SegmentationClass"
    if not path.is_file() or not masks.is_dir():
        raise BadInput(f"{source} has no labelmap.txt or no SegmentationClass/, as CVAT's segmentation masks have.")
    images = options.images or first_folder(source, *IMAGES)
    if images is None:
        raise BadInput(f"{source} has no images (CVAT leaves them out unless asked). Say where they are: --images DIR")
    found.files.append(path)
    table = read_table(path)
    require_kind(table, colors=True)
    numbers = {number_of(key): name for key, name in table}
    by_image, by_mask = by_stem(images, PICTURES, found), by_stem(masks, PICTURES, found)
    samples = []
    for id, split, where in _listed(source, by_mask, found):
        if id not in by_mask or id not in by_image:
            lacking, folder = ("mask", masks) if id not in by_mask else ("image", images)
            found.fault(where, f"{id} has no {lacking} in {folder}/")
            continue
        found.files.append(by_mask[id])
        name = by_image[id].relative_to(images).as_posix()
        raster = colored(numbers, by_mask[id])
        samples.append(Sample(name=name, image=by_image[id], where=by_image[id], raster=raster, split=split))
    labels = tuple(Label(name, color_of(key)) for key, name in table)
    return Source(labels=labels, samples=tuple(samples))


def _listed(source: Path, masks: Mapping[str, Path], found: Found) -> list[tuple[str, str | None, str]]:
    """Each id with its split and its line; all masks where there is no list."""
    entries = []
    for path in sorted((source / "ImageSets/Segmentation").glob("*.txt")):
        found.files.append(path)
        entries += [(id, split_named([path.stem]), f"{path}:{number}") for number, id in lines_of(path)]
    listed = {id for id, _, _ in entries}
    left = masks.keys() - listed
    if entries and left:
        found.note("dropped", "mask", "no list of ImageSets/Segmentation has it", len(left))
    return entries or [(id, None, str(path)) for id, path in sorted(masks.items())]


def known(source: Path) -> bool:
    """labelmap.txt beside SegmentationClass."""
    return (source / "labelmap.txt").is_file() and (source / "SegmentationClass").is_dir()


CVAT_MASKS = Format(name="cvat-masks", title="CVAT segmentation masks", known=known, read=read, takes=("images",))
