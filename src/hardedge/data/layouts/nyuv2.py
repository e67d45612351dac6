"""NYU Depth v2 (Silberman et al., ECCV 2012) in the 40 classes of Gupta et al., CVPR 2013: the .mat file, or PNGs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hardedge.data.decoding import Pixels
from hardedge.data.labels import looked_up
from hardedge.data.layouts.layout import (
    HELD_OUT,
    IGNORED,
    Layout,
    Listing,
    Pair,
    distinct_colors,
    images_below,
    label_reader,
    names_in,
    table_of,
    task_of,
)
from hardedge.errors import BadInput, faults_error, missing_extra

if TYPE_CHECKING:
    import h5py

NAMES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *("counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes"),
    *("ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard"),
    *("person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "other structure", "other furniture"),
    "other prop",
)
FROM_PNG = table_of({0: IGNORED} | {label: label - 1 for label in range(1, 41)})
MAT, SPLITS_MAT, MAPPING_MAT = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"


def find(root: Path) -> Listing:
    """nyu_depth_v2_labeled.mat with splits.mat and classMapping40.mat, or RGB/, Label/, train.txt and test.txt.

    The .mat is HDF5: images [N, 3, 640, 480] and labels [N, 640, 480] of 0 (unlabelled) to 894, each transposed.
    splits.mat has trainNdxs (795) and testNdxs (654), counted from 1; classMapping40.mat has mapClass, 894 to 40.
    The PNGs are those of CMX and DFormer: 0 is unlabelled, 1-40 the classes. All from several repositories that convert
    or read them (read; sure). The colours are ours, for pictures only.
    """
    return _mat(root) if (root / MAT).is_file() else _pngs(root)


def _pngs(root: Path) -> Listing:
    images = {path.stem: path for path in images_below(root / "RGB")}
    lists = {"train": "train.txt", "test": "test.txt"}
    pairs: dict[str, dict[str, Pair]] = {}
    for split, path in lists.items():
        ids = [Path(name).stem for name in names_in(root / path)]  # CMX lists 7, DFormer RGB/7.jpg
        pairs[split] = {id: (images.get(id, root / "RGB" / f"{id}.jpg"), root / "Label" / f"{id}.png") for id in ids}
    looked_for = {split: f"names in {path}" for split, path in lists.items()}
    return Listing(pairs=_held_out(pairs), looked_for=looked_for, read_label=label_reader(FROM_PNG))


def _mat(root: Path) -> Listing:
    train, test, table = _companions(root)
    count = _count(root / MAT)
    outside = sorted(index for index in (*train, *test) if not 1 <= index <= count)
    if outside:
        raise BadInput(f"{root / SPLITS_MAT}: index {outside[0]}, but {MAT} has {count} images. Get both files anew.")
    pairs = {
        split: {
            f"{index:04d}": (root / MAT / "images" / f"{index:04d}", root / MAT / "labels" / f"{index:04d}")
            for index in sorted(indices)
        }
        for split, indices in (("train", train), ("test", test))
    }
    return Listing(
        pairs=_held_out(pairs),
        looked_for={"train": f"trainNdxs in {SPLITS_MAT}", "test": f"testNdxs in {SPLITS_MAT}"},
        read_image=read_mat_image,
        read_label=partial(read_mat_label, table),
    )


def _held_out(pairs: dict[str, dict[str, Pair]]) -> dict[str, dict[str, Pair]]:
    """The last twentieth of train as val: neighbours are frames of one room, which must not be on both sides."""
    train = list(pairs["train"].items())
    last = max(len(train) // HELD_OUT, 1)
    return {**pairs, "train": dict(train[:-last]), "val": dict(train[-last:])} if len(train) > 1 else pairs


def _companions(root: Path) -> tuple[list[int], list[int], Pixels]:
    """Training and test indices, counted from 1, and the class index of each of the 894 labels."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise missing_extra("scipy", "data") from None
    faults = [
        f"{name}: missing ({what})"
        for name, what in ((SPLITS_MAT, "which images are train and test"), (MAPPING_MAT, "894 labels to 40 classes"))
        if not (root / name).is_file()
    ]
    if faults:
        raise faults_error(
            f"{root} has {MAT} and lacks", faults, "Put them beside it; docs/data.md says where they are from."
        )
    try:
        splits, mapping = loadmat(root / SPLITS_MAT), loadmat(root / MAPPING_MAT)
        train, test = (np.asarray(splits[key], np.int64).ravel().tolist() for key in ("trainNdxs", "testNdxs"))
        classes = np.asarray(mapping["mapClass"], np.int64).ravel().tolist()
    except Exception as error:  # whatever scipy's parser comes upon in bytes that are no .mat file
        raise BadInput(f"{root}: {SPLITS_MAT} or {MAPPING_MAT} cannot be read ({error!r}). Get them anew.") from None
    labels = {label: IGNORED if value == 0 else value - 1 for label, value in enumerate([0, *classes])}
    return train, test, table_of(labels, size=len(labels))


def _open_mat(path: Path) -> h5py.File:
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "data") from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error}). Get the file anew.") from None


def _count(path: Path) -> int:
    with _open_mat(path) as content:
        missing = [name for name in ("images", "labels") if name not in content]
        if missing:
            raise BadInput(f"{path}: no {' and no '.join(missing)} in it. Get the file anew.")
        return len(content["images"])


def read_mat_image(path: Path) -> Pixels:
    """The image at FILE.mat/images/NUMBER, uint8 [H, W, 3] RGB."""
    return np.ascontiguousarray(_read(path).transpose(2, 1, 0)).astype(np.uint8)


def read_mat_label(table: Pixels, path: Path) -> Pixels:
    """The label at FILE.mat/labels/NUMBER through the table, uint8 [H, W]; raises BadInput for an unknown value."""
    return looked_up(np.ascontiguousarray(_read(path).T).astype(np.uint16), table, path)


def _read(path: Path) -> Pixels:
    with _open_mat(path.parents[1]) as content:
        try:
            return np.asarray(content[path.parent.name][int(path.name) - 1])
        except OSError as error:
            raise BadInput(f"{path} cannot be read ({error}). Get the file anew.") from None


NYUV2 = Layout(
    name="nyuv2",
    marks=(MAT, "Label"),
    task=task_of(NAMES, distinct_colors(len(NAMES))),
    note="val is the last twentieth of the 795 training images, in their order",
    find=find,
)
