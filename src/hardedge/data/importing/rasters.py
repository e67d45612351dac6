"""What the formats of label images share: pairs of files, values by a table or in the order of the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from hardedge.data.importing.folders import ENDINGS, PICTURES, by_stem, first_folder, paired, split_of
from hardedge.data.importing.pictures import read_indices
from hardedge.data.importing.source import Found, Label, Options, Raster, Sample, Source, Values
from hardedge.data.importing.tables import color_of
from hardedge.errors import BadInput

IMAGES = ("images", "image", "img", "imgs", "JPEGImages")
MASKS = ("masks", "mask", "labels", "label", "annotations", "SegmentationClass", "gt")
IGNORED = frozenset((255,))


def folders(source: Path, options: Options) -> tuple[Path, Path]:
    """Where images and masks are: --images and --masks, else folders of the usual names. Raises BadInput."""
    images = options.images or first_folder(source, *IMAGES)
    masks = options.masks or first_folder(source, *MASKS)
    if images is None or masks is None:
        lacking = "images" if images is None else "masks"
        names = ", ".join(IMAGES if images is None else MASKS)
        raise BadInput(f"{source} has no folder of {lacking} ({names}). Say where they are: --{lacking} DIR")
    for folder in (images, masks):
        if not folder.is_dir():
            raise BadInput(f"{folder} is not a folder.")
    return images, masks


def pairs_of(images: Path, masks: Path, options: Options, found: Found) -> list[tuple[str, Path, Path]]:
    """The name, image and mask of each pair; a fault for what has no partner."""
    by_image, by_mask = by_stem(images, PICTURES, found), by_stem(masks, PICTURES, found)
    if images == masks:
        by_mask = {name: path for name, path in by_mask.items() if name.endswith(ENDINGS) and path.suffix == ".png"}
        by_image = {name: path for name, path in by_image.items() if name not in by_mask}
    pairs, left = paired(by_image, by_mask)
    for name in sorted(by_image.keys() - pairs.keys()):
        if options.skip_missing:
            found.note("dropped", "image", "it has no mask (--skip-missing)")
        else:
            found.fault(by_image[name], f"no mask of it in {masks}/ (--skip-missing leaves such images out)")
    for name in left:
        if options.skip_missing:
            found.note("dropped", "mask", "it has no image (--skip-missing)")
        else:
            found.fault(by_mask[name], f"no image of it in {images}/ (--skip-missing leaves such masks out)")
    return [
        (by_image[image].relative_to(images).as_posix(), by_image[image], by_mask[mask])
        for image, mask in pairs.items()
    ]


def indexed(path: Path, labels: Mapping[int, str], ignored: frozenset[int] = IGNORED) -> Raster:
    """A mask of class indices; 255 is ignored unless it is a label."""
    return Raster(partial(read_indices, path), labels, path, ignored - labels.keys())


def sampled(
    pairs: Iterable[tuple[str, Path, Path]],
    root: Path,
    found: Found,
    raster: Callable[[Path], Raster],
    split: str | None = None,
) -> tuple[Sample, ...]:
    """A sample of each pair, in the split that its folders say."""
    samples = []
    for name, image, mask in pairs:
        found.files.append(mask)
        samples.append(
            Sample(name=name, image=image, where=image, raster=raster(mask), split=split or split_of(image, root))
        )
    return tuple(samples)


def by_table(options: Options) -> tuple[tuple[Label, ...], dict[int, str]]:
    """The labels of --table, or else of --classes in their order, and the value of each. Raises BadInput without."""
    if options.table:
        labels = tuple(Label(name, color_of(key)) for key, name in options.table)
        return tuple({label.name: label for label in reversed(labels)}.values())[::-1], {
            number_of(key): name for key, name in options.table
        }
    if options.classes:
        return tuple(map(Label, options.classes)), dict(enumerate(options.classes))
    raise BadInput(
        "this format does not name its classes. Name them in the order of their values: --classes road,car,...\n"
        "or by value: --table 0=void,1=road,2=car (or a file of such lines), with --ignore void to leave one out"
    )


def number_of(key: str) -> int:
    """A table's key as a label image has it: the value, or 0xRRGGBB."""
    return int(key[1:], 16) if key.startswith("#") else int(key)


def folder_source(
    source: Path,
    options: Options,
    found: Found,
    labels: tuple[Label, ...],
    raster: Callable[[Path], Raster],
) -> Source:
    """The source of one folder of images and one of masks."""
    images, masks = folders(source, options)
    return Source(labels=labels, samples=sampled(pairs_of(images, masks, options, found), images, found, raster))


def first_values(source: Path, looked: int = 3) -> list[tuple[str, Values]]:
    """The mode and values of the first masks of a folder with images and masks; none where there is no such folder."""
    from hardedge.data.importing.pictures import mode_of

    images, masks = first_folder(source, *IMAGES), first_folder(source, *MASKS)
    if images is None or masks is None:
        return []
    files = [path for path, _ in zip(by_stem(masks, PICTURES).values(), range(looked), strict=False)]
    return [found for path in files if (found := mode_of(path)) is not None]
