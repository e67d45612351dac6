"""The native form: a folder with images/, masks/, splits/*.txt and classes.json."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Final

from hardedge.contracts import Task, parse_json
from hardedge.data.dataset import SPLITS
from hardedge.data.decoding import IMAGE_SUFFIXES, read_image, read_mask
from hardedge.data.folder_dataset import FolderDataset
from hardedge.data.labels import read_labels
from hardedge.data.layouts import public_data_sets
from hardedge.errors import BadInput

VAL_IS_TEST: Final = "test is the validation split: what was chosen on it is scored on it, so the score flatters"


def read_folder(root: Path) -> tuple[FolderDataset, list[str]]:
    """The data set and every fault that shows without decoding an image; without classes where theirs are faulty."""
    task, faults = _task(root)
    images, image_faults = find_images(root)
    splits, split_faults = read_splits(root)
    dataset = FolderDataset(
        root=root,
        name=root.resolve().name,
        task=task or Task(classes=(), ignore_index=255),
        splits=splits,
        images=images,
        masks={path.stem: path for path in masks_in(root)},
        decode_image=read_image,
        decode_mask=partial(read_labels, task) if task else read_mask,
        notes=(VAL_IS_TEST,) if val_is_test(splits) else (),
    )
    return dataset, [*faults, *image_faults, *split_faults, *shared_ids(splits), *missing_files(dataset)]


def _task(root: Path) -> tuple[Task | None, list[str]]:
    try:
        return read_task(root), []
    except BadInput as error:
        return None, [str(error)]


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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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
    for path in images_in(root / "images"):
        if path.stem in images:
            faults.append(f"images/{path.name}: same name as images/{images[path.stem].name}")
        images[path.stem] = path
    if not images:
        faults.append(f"images/: no image file ({', '.join(IMAGE_SUFFIXES)})")
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
        faults += [f"splits/{split}.txt: {id} is named twice" for id in _twice(ids)]
        splits[split] = tuple(ids)
    return splits, faults


def masks_in(root: Path) -> list[Path]:
    """The files of masks/ that are PNGs, in order; hidden files are none."""
    return sorted(path for path in (root / "masks").glob("*.png") if not path.name.startswith("."))


def missing_files(dataset: FolderDataset) -> list[str]:
    """A fault for every image or mask that a split names and that is not there."""
    faults = []
    for split, ids in dataset.splits.items():
        for id in ids:
            if id not in dataset.images:
                faults.append(f"splits/{split}.txt: {id} has no image in images/")
            if id not in dataset.masks:
                faults.append(f"splits/{split}.txt: {id} has no mask masks/{id}.png")
    return faults


def _twice(ids: Sequence[str]) -> list[str]:
    return sorted(id for id, count in Counter(ids).items() if count > 1)


def val_is_test(splits: Mapping[str, Sequence[str]]) -> bool:
    """Whether both lists have the same ids, as with a data set of two splits."""
    return "val" in splits and "test" in splits and set(splits["val"]) == set(splits["test"])


def shared_ids(splits: Mapping[str, Sequence[str]]) -> list[str]:
    """A fault for every id in two splits, but for a test split that is the validation split as a whole."""
    faults = []
    for (first, ids), (second, others) in combinations(splits.items(), 2):
        if (first, second) == ("val", "test") and val_is_test(splits):
            continue
        faults += [f"splits/{second}.txt: {id} is also in splits/{first}.txt" for id in sorted({*ids} & {*others})]
    return faults


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, in order; hidden files (macOS's ._NAME.png) are none."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
