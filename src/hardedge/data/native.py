"""The native form: a folder with images/, masks/, splits/*.txt and classes.json."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hardedge.contracts import Task, parse_json
from hardedge.data.dataset import IMAGE_SUFFIXES, SPLITS, Dataset, read_image, read_labels
from hardedge.data.layouts import public_data_sets
from hardedge.errors import BadInput

if TYPE_CHECKING:
    pass


def read_folder(root: Path) -> tuple[Dataset, list[str]]:
    """The data set and every fault that shows without decoding an image; raises BadInput for a faulty classes.json."""
    task = read_task(root)
    images, faults = find_images(root)
    splits, split_faults = read_splits(root)
    dataset = Dataset(
        root=root,
        name=root.resolve().name,
        task=task,
        splits=splits,
        images=images,
        masks={id: root / "masks" / f"{id}.png" for id in images},
        decode_image=read_image,
        decode_mask=partial(read_labels, task),
    )
    return dataset, faults + split_faults + missing_files(root, images, splits)


def read_task(root: Path) -> Task:
    """Classes and ignore index from classes.json; other keys in it are left alone. Raises BadInput."""
    path = root / "classes.json"
    if not path.is_file():
        raise BadInput(
            f"{root} has no classes.json. Write one: "
            '{"ignore_index": 255, "classes": [{"name": "road", "color": [128, 64, 128]}, ...]}\n'
            f"Nor is it a public data set, which would be known as {public_data_sets(root)}"
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        classes = [{"name": entry["name"], "color": entry["color"]} for entry in raw["classes"]]
        known = {"classes": classes, "ignore_index": raw.get("ignore_index", 255)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: expected an object with a list `classes` of names and colours ({error!r}).") from None
    task = parse_json(Task, json.dumps(known).encode(), str(path))
    names = [entry.name for entry in task.classes]
    if not 1 < len(names) <= 255 or len(set(names)) != len(names) or task.ignore_index in range(len(names)):
        raise BadInput(f"{path}: needs 2 to 255 classes of different names, and an ignore index that is no class.")
    if not 0 <= task.ignore_index <= 255:
        raise BadInput(f"{path}: ignore_index {task.ignore_index} does not fit an 8-bit mask. Use 255.")
    return task


def find_images(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Image files by id (the name without its suffix), and a fault for every id that two files share."""
    images: dict[str, Path] = {}
    faults = []
    for path in sorted((root / "images").glob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in images:
            faults.append(f"images/{path.name}: same name as images/{images[path.stem].name}")
        images[path.stem] = path
    if not images:
        faults.append("images/: no .jpg, .png or .bmp file")
    return images, faults


def read_splits(root: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The ids of train, val and test, and a fault for every list that is missing, empty, or names an id twice."""
    splits, faults = {}, []
    for split in SPLITS:
        path = root / "splits" / f"{split}.txt"
        if not path.is_file():
            faults.append(f"splits/{split}.txt: missing (with two splits only, copy val.txt to test.txt)")
            continue
        try:
            ids = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeError) as error:
            faults.append(f"splits/{split}.txt: cannot be read ({error}); write it as UTF-8 text, one id a line")
            continue
        if not ids:
            faults.append(f"splits/{split}.txt: empty")
        faults += [f"splits/{split}.txt: {id} is named twice" for id in sorted(_twice(ids))]
        splits[split] = tuple(ids)
    return splits, faults


def missing_files(root: Path, images: dict[str, Path], splits: dict[str, tuple[str, ...]]) -> list[str]:
    """A fault for every image or mask that a split names and that is not there."""
    # one listing: a question for each file takes ten times as long
    masks = {path.name for path in (root / "masks").glob("*.png")}
    faults = []
    for split, ids in splits.items():
        for id in ids:
            if id not in images:
                faults.append(f"splits/{split}.txt: {id} has no image in images/")
            if f"{id}.png" not in masks:
                faults.append(f"splits/{split}.txt: {id} has no mask masks/{id}.png")
    return faults


def _twice(ids: list[str]) -> set[str]:
    return {id for id in ids if ids.count(id) > 1} if len(set(ids)) != len(ids) else set()


def images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
