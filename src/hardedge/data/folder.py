"""The native form: a folder with images/, masks/, splits/*.txt and classes.json."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Task, parse_json
from hardedge.errors import BadInput, listed

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

Pixels = npt.NDArray[np.uint8]
Labels = Literal["masks", "scribbles"]


@dataclass(frozen=True)
class Dataset:
    """Images and masks by id; `splits` maps train, val and test to their ids in order.

    `labels` names the folder that holds the training split's labels: masks/, or scribbles/ with most pixels ignored.
    """

    root: Path
    name: str
    task: Task
    splits: dict[str, tuple[str, ...]]
    images: dict[str, Path]
    labels: Labels = "masks"

    def image_path(self, id: str) -> Path:
        return self.images[id]

    def mask_path(self, id: str) -> Path:
        return self.root / "masks" / f"{id}.png"

    def training_path(self, id: str) -> Path:
        return self.root / self.labels / f"{id}.png"

    def image(self, id: str) -> Pixels:
        """The image, uint8 [H, W, 3] RGB."""
        return read_image(self.image_path(id))

    def mask(self, id: str) -> Pixels:
        """The label, uint8 [H, W]; raises BadInput for a value that is neither a class nor the ignore index."""
        return _read_labels(self.mask_path(id), self.task)

    def pair(self, id: str) -> tuple[Pixels, Pixels]:
        """Image and label; raises BadInput when their sizes differ."""
        return self._pair(id, self.mask_path(id))

    def training_pair(self, id: str) -> tuple[Pixels, Pixels]:
        """Image and label to train on, from masks/ or scribbles/; raises BadInput when their sizes differ."""
        return self._pair(id, self.training_path(id))

    def _pair(self, id: str, path: Path) -> tuple[Pixels, Pixels]:
        image_HWC, mask_HW = self.image(id), _read_labels(path, self.task)
        if image_HWC.shape[:2] != mask_HW.shape:
            raise BadInput(f"{path}: {_size(mask_HW)}, but its image is {_size(image_HWC)}. Make them one size.")
        return image_HWC, mask_HW

    def digest(self) -> str:
        """A sha256 over classes.json, the splits, and every used file's name and size (not its content)."""
        used = [
            path for ids in self.splits.values() for id in ids for path in (self.image_path(id), self.mask_path(id))
        ]
        if self.labels != "masks":
            used += [self.training_path(id) for id in self.splits["train"]]
        sizes = [[path.relative_to(self.root).as_posix(), path.stat().st_size] for path in used]
        classes = (self.root / "classes.json").read_text(encoding="utf-8")
        return hashlib.sha256(json.dumps([classes, self.splits, sizes]).encode()).hexdigest()


def open_dataset(root: Path, labels: Labels = "masks") -> Dataset:
    """Reads classes.json, the splits and the file names; images and masks are read when asked for.

    Raises BadInput with every fault that shows without decoding an image; `hardedge check` finds the others.
    """
    if not root.is_dir():
        raise BadInput(f"{root} is not a folder. Give a folder with images/, masks/, splits/ and classes.json.")
    task = read_task(root)
    images, faults = find_images(root)
    splits, split_faults = read_splits(root)
    faults += split_faults + missing_files(root, images, splits)
    if labels != "masks":
        lacking = [id for id in splits.get("train", ()) if not (root / labels / f"{id}.png").is_file()]
        faults += [f"splits/train.txt: {id} has no {labels}/{id}.png" for id in lacking]
    if faults:
        raise listed(f"{root} cannot be used", faults, f"See all faults with: hardedge check {root}")
    return Dataset(root=root, name=root.resolve().name, task=task, splits=splits, images=images, labels=labels)


def read_task(root: Path) -> Task:
    """Classes and ignore index from classes.json; other keys in it are left alone. Raises BadInput."""
    path = root / "classes.json"
    if not path.is_file():
        raise BadInput(
            f"{root} has no classes.json. Write one: "
            '{"ignore_index": 255, "classes": [{"name": "road", "color": [128, 64, 128]}, ...]}'
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
        faults.append("images/: no .jpg or .png file")
    return images, faults


def read_splits(root: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The ids of train, val and test, and a fault for every list that is missing, empty, or names an id twice."""
    splits, faults = {}, []
    for split in SPLITS:
        path = root / "splits" / f"{split}.txt"
        if not path.is_file():
            faults.append(f"splits/{split}.txt: missing (with two splits only, copy val.txt to test.txt)")
            continue
        ids = path.read_text(encoding="utf-8").split()
        if not ids:
            faults.append(f"splits/{split}.txt: empty")
        faults += [f"splits/{split}.txt: {id} is named twice" for id in sorted(_twice(ids))]
        splits[split] = tuple(ids)
    return splits, faults


def missing_files(root: Path, images: dict[str, Path], splits: dict[str, tuple[str, ...]]) -> list[str]:
    """A fault for every image or mask that a split names and that is not there."""
    faults = []
    for split, ids in splits.items():
        for id in ids:
            if id not in images:
                faults.append(f"splits/{split}.txt: {id} has no image in images/")
            if not (root / "masks" / f"{id}.png").is_file():
                faults.append(f"splits/{split}.txt: {id} has no mask masks/{id}.png")
    return faults


def read_image(path: Path) -> Pixels:
    """An image file as uint8 [H, W, 3] RGB; raises BadInput when it cannot be decoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as an image ({error}). Replace it, or take it out of splits/.") from None


def read_mask(path: Path) -> Pixels:
    """A mask file as uint8 [H, W] of class indices; raises BadInput unless it is a single-channel 8-bit image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P"):
                raise BadInput(f"{path}: mode {image.mode}, expected an 8-bit PNG of class indices (mode L or P).")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as a mask ({error}). Replace it, or take it out of splits/.") from None


def _read_labels(path: Path, task: Task) -> Pixels:
    mask_HW = read_mask(path)
    fault = class_fault(mask_HW, task)
    if fault:
        raise BadInput(f"{path}: {fault}. Fix the mask, or add the class to classes.json.")
    return mask_HW


def class_fault(mask_HW: Pixels, task: Task) -> str | None:
    """What is wrong with a mask's values, or None."""
    values = np.flatnonzero(np.bincount(mask_HW.reshape(-1), minlength=256))
    wrong = [str(value) for value in values if value >= task.num_classes and value != task.ignore_index]
    if not wrong:
        return None
    what = "class index" if len(wrong) == 1 else "class indices"
    last, ignored = task.num_classes - 1, task.ignore_index
    return f"{what} {', '.join(wrong)}, but classes.json has 0-{last} and ignore index {ignored}"


def _twice(ids: list[str]) -> set[str]:
    return {id for id in ids if ids.count(id) > 1} if len(set(ids)) != len(ids) else set()


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
