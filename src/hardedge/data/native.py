"""The native form: a folder with images/, masks/, splits/*.txt and classes.json."""

from functools import partial
from pathlib import Path
from typing import Final

from hardedge.contracts import Task
from hardedge.data.classes import Classes, read_classes
from hardedge.data.decoding import IMAGE_SUFFIXES, read_image, read_mask
from hardedge.data.folder_dataset import FolderDataset
from hardedge.data.labels import read_labels
from hardedge.data.split_lists import SUGGESTED, id_of, nearest, read_splits, val_is_test
from hardedge.errors import BadInput
from hardedge.names import visible

VAL_IS_TEST: Final = "test is the validation split: what was chosen on it is scored on it, so the score flatters"


def read_folder(root: Path) -> tuple[FolderDataset, list[str]]:
    """The data set and every fault that shows without decoding an image; without classes where theirs are faulty."""
    classes, faults = _classes(root)
    images, image_faults = find_images(root)
    masks = {id_of(path): path for path in masks_in(root)}
    splits, split_faults = read_splits(root, images.keys() | masks.keys())
    dataset = FolderDataset(
        root=root,
        name=visible(root.resolve().name),
        task=classes.task if classes else Task(classes=(), ignore_index=255),
        splits=splits,
        images=images,
        masks=masks,
        decode_image=read_image,
        decode_mask=partial(read_labels, classes.task, table=classes.table) if classes else read_mask,
        notes=(VAL_IS_TEST,) if val_is_test(splits) else (),
    )
    return dataset, [*faults, *image_faults, *split_faults, *missing_files(dataset)]


def _classes(root: Path) -> tuple[Classes | None, list[str]]:
    try:
        return read_classes(root), []
    except BadInput as error:
        return None, [str(error)]


def find_images(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Image files by id (the name without its suffix), and a fault for every id that two files share."""
    images: dict[str, Path] = {}
    faults = []
    for path in images_in(root / "images"):
        if (id := id_of(path)) in images:
            faults.append(f"images/{path.name}: same name as images/{images[id].name}")
        images[id] = path
    if not images:
        below = [path.name for path in sorted((root / "images").glob("*")) if path.is_dir()]
        where = f"; folders in it are not read: {', '.join(below[:3])}" if below else ""
        faults.append(f"images/: no image file ({', '.join(IMAGE_SUFFIXES)}){where}")
    return images, faults


def masks_in(root: Path) -> list[Path]:
    """The files of masks/ that are PNGs, in order; hidden files are none."""
    return [path for path in images_in(root / "masks") if path.suffix.lower() == ".png"]


def missing_files(dataset: FolderDataset) -> list[str]:
    """A fault for every image or mask that a split names and that is not there."""
    faults = []
    suggested = 0
    for split, ids in dataset.splits.items():
        for id in ids:
            if id not in dataset.images:
                suggested += 1
                like = nearest(id, dataset.images) if suggested <= SUGGESTED else ""
                faults.append(f"splits/{split}.txt: {id} has no image in images/{_in_folder(dataset.root, id) or like}")
            if id not in dataset.masks:
                faults.append(f"splits/{split}.txt: {id} has no mask masks/{id}.png")
    return faults


def _in_folder(root: Path, id: str) -> str:
    """Where an image of that name lies that is not read, in words; empty where there is none."""
    name = id.rpartition("/")[2]
    found = [path for path in (root / "images").glob("*/*") if id_of(path) == name or path.name == name]
    return (
        f" (images/{found[0].parent.name}/{found[0].name} is in a folder, which is not read: move it up)"
        if found
        else ""
    )


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, in order; hidden files (macOS's ._NAME.png) are none."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
