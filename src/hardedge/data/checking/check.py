"""What `hardedge check` finds: how often each class occurs, and every fault of a data set at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path

from hardedge.console import progress_bar
from hardedge.contracts import Task
from hardedge.data.checking.counts import DataCheck, Pair, absent_class_notes, count_classes, decode_pair
from hardedge.data.dataset import IMAGE_SUFFIXES, Dataset
from hardedge.data.importing.history import import_notes
from hardedge.data.importing.recognition import require_native
from hardedge.data.layouts import Layout, layout_of, read_layout
from hardedge.data.native import find_images, missing_files, read_splits, read_task
from hardedge.data.shards import INDEX
from hardedge.errors import BadInput


def check_dataset(root: Path) -> DataCheck:
    """Decodes every image and mask of a native folder, shards or a public data set; lists all faults in the result.

    Never raises for faulty data; MissingHere without the package that reads the data set.
    """
    if not root.is_dir():
        try:
            require_native(root)
        except BadInput as error:
            return _unusable(root, str(error))
        fault = f"{root} is not a folder. Give a folder with images/, masks/, splits/ and classes.json."
        return _unusable(root, fault)
    from hardedge.data.checking.check_shards import check_shards

    try:
        if (root / INDEX).is_file():
            return check_shards(root)
        layout = layout_of(root)
        require_native(root, layout=layout is not None)
        return _check_folder(root) if layout is None else _check_layout(layout, root)
    except BadInput as error:
        return _unusable(root, str(error))


def _unusable(root: Path, fault: str) -> DataCheck:
    return DataCheck(data=root.name, classes=(), splits=(), faults=(fault,), notes=())


def _check_layout(layout: Layout, root: Path) -> DataCheck:
    dataset, faults = read_layout(layout, root)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(partial(_decode_id, dataset), dataset.images)
        known = progress_bar(decoded, "checking images and masks", len(dataset.images))
        pairs = dict(zip(dataset.images, known, strict=True))
    faults += [fault for pair in pairs.values() for fault in pair.faults]
    counts = tuple(count_classes(split, ids, pairs, layout.task) for split, ids in dataset.splits.items())
    return DataCheck(
        data=layout.name,
        classes=layout.task.classes,
        splits=counts,
        faults=tuple(fault.replace(f"{root}/", "") for fault in faults),
        notes=(layout.note, *absent_class_notes(counts, "{}")),
    )


def _decode_id(dataset: Dataset, id: str) -> Pair:
    image, mask = (
        # a missing file is a fault of its own, found without decoding
        path if path.is_file() or path.parents[1].is_file() else None
        for path in (dataset.image_path(id), dataset.mask_path(id))
    )
    return decode_pair(image, mask, dataset.task, dataset.decode_image, dataset.decode_mask)


def _check_folder(root: Path) -> DataCheck:
    task, faults = _task(root)
    images, image_faults = find_images(root)
    splits, split_faults = _splits(root)
    faults += [
        *image_faults,
        *split_faults,
        *missing_files(root, images, splits),
        *_unpaired_faults(root, images, splits),
    ]
    pairs = _decode(root, images, task)
    faults += [fault for pair in pairs.values() for fault in pair.faults]
    counts = tuple(count_classes(split, ids, pairs, task) for split, ids in splits.items())
    classes = task.classes if task else ()
    return DataCheck(
        data=root.resolve().name,
        classes=classes,
        splits=counts,
        faults=tuple(fault.replace(f"{root}/", "") for fault in faults),
        notes=tuple(
            [*absent_class_notes(counts, "splits/{}.txt"), *_unused_notes(images, splits), *import_notes(root)]
        ),
    )


def check_text(check: DataCheck) -> str:
    """The result as text: a table of the classes' shares in percent, then the notes, then the faults."""
    lines = [f"{check.data}: " + ", ".join(f"{split.images} {split.name}" for split in check.splits)]
    if check.classes:
        width = max(len(info.name) for info in check.classes)
        lines.append(" " * width + "".join(f"{split.name + ' %':>10}{'images':>8}" for split in check.splits))
        for index, info in enumerate(check.classes):
            counts = [split.classes[index] for split in check.splits]
            row = "".join(f"{count.share * 100:>10.2f}{count.images:>8}" for count in counts)
            lines.append(f"{info.name:<{width}}{row}")
    lines += [f"note: {note}" for note in check.notes]
    found = f"{len(check.faults)} {'fault' if len(check.faults) == 1 else 'faults'}:"
    return "\n".join([*lines, *([found, *(f"  {fault}" for fault in check.faults)] if check.faults else ["no fault"])])


def _task(root: Path) -> tuple[Task | None, list[str]]:
    try:
        return read_task(root), []
    except BadInput as error:
        return None, [str(error)]
    except (OSError, UnicodeError) as error:
        return None, [f"classes.json cannot be read ({error}). Write it as UTF-8 text."]


def _splits(root: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    try:
        splits, faults = read_splits(root)
    except (OSError, UnicodeError) as error:
        return {}, [f"splits/: a list cannot be read ({error}). Write it as UTF-8 text, one id a line."]
    for (first, ids), (second, others) in combinations(splits.items(), 2):
        shared = sorted(set(ids) & set(others))
        faults += [f"splits/{second}.txt: {id} is also in splits/{first}.txt" for id in shared]
    return splits, faults


def _unpaired_faults(root: Path, images: Mapping[str, Path], splits: Mapping[str, tuple[str, ...]]) -> list[str]:
    named = {id for ids in splits.values() for id in ids}
    masks = {path.stem: path for path in sorted((root / "masks").glob("*")) if path.is_file()}
    faults = [
        f"masks/{path.name}: expected a .png"
        for path in masks.values()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.suffix.lower() != ".png"
    ]
    faults += [
        f"images/{path.name}: no mask masks/{id}.png"
        for id, path in images.items()
        if id not in masks and id not in named
    ]
    return faults + [f"masks/{path.name}: no image {id} in images/" for id, path in masks.items() if id not in images]


def _decode(root: Path, images: Mapping[str, Path], task: Task | None) -> dict[str, Pair]:
    masks = {path.stem: path for path in sorted((root / "masks").glob("*.png"))}
    ids = sorted(images.keys() | masks.keys())
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda id: decode_pair(images.get(id), masks.get(id), task), ids)
        return dict(zip(ids, progress_bar(decoded, "checking images and masks", len(ids)), strict=True))


def _unused_notes(images: Mapping[str, Path], splits: Mapping[str, tuple[str, ...]]) -> list[str]:
    unused = images.keys() - {id for ids in splits.values() for id in ids}
    return [f"images/: {len(unused)} in no split"] if unused else []
