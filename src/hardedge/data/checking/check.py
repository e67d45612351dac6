"""What `hardedge check` finds: how often each class occurs, and every fault of a data set at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from hardedge.console import progress_bar
from hardedge.data.checking.advice import advice_notes
from hardedge.data.checking.counts import (
    DataCheck,
    Pair,
    absent_class_notes,
    count_classes,
    decode_pair,
    label_faults,
)
from hardedge.data.folder_dataset import FolderDataset
from hardedge.data.importing.history import import_notes
from hardedge.data.importing.recognition import require_native
from hardedge.data.layouts import Layout, layout_of, read_layout
from hardedge.data.leaks import find_leaks
from hardedge.data.native import images_in, read_folder
from hardedge.data.shards import INDEX
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_path


def check_dataset(root: StrPath) -> DataCheck:
    """Decodes every image and mask of a native folder, shards or a public data set; lists all faults in the result.

    Never raises for faulty data; Unavailable without the package that reads the data set.
    """
    root = local_path(root)
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
    return _result(dataset, faults, _decode(dataset, dataset.images), "{}", [layout.note])


def _check_folder(root: Path) -> DataCheck:
    dataset, faults = read_folder(root)
    faults += _unpaired_faults(dataset)
    pairs = _decode(dataset, sorted(dataset.images.keys() | dataset.masks.keys()))
    return _result(dataset, faults, pairs, "splits/{}.txt", [], [*_unused_notes(dataset), *import_notes(root)])


def _result(
    dataset: FolderDataset,
    faults: list[str],
    pairs: Mapping[str, Pair],
    named: str,
    first_notes: Sequence[str],
    last_notes: Sequence[str] = (),
) -> DataCheck:
    counts = tuple(count_classes(split, ids, pairs, dataset.task) for split, ids in dataset.splits.items())
    leaks, (unlabelled, one_class) = find_leaks(dataset), label_faults(dataset, pairs)
    faults = [*faults, *(fault for pair in pairs.values() for fault in pair.faults), *unlabelled, *leaks.faults]
    split_of = {id: split for split, ids in dataset.splits.items() for id in ids}
    notes = [*first_notes, *dataset.notes, *one_class, *leaks.notes, *advice_notes(split_of, pairs, counts)]
    return DataCheck(
        data=dataset.name,
        classes=dataset.task.classes,
        splits=counts,
        faults=tuple(fault.replace(f"{dataset.root}/", "") for fault in faults),
        notes=(*notes, *absent_class_notes(counts, named), *last_notes),
    )


def check_text(check: DataCheck) -> str:
    """The result as text: a table of the classes' shares in percent, then the notes, then the faults."""
    lines = [f"{check.data}: " + ", ".join(f"{split.images} {split.name}" for split in check.splits)]
    if check.classes:
        width = max(len(info.name) for info in check.classes)
        lines.append(" " * width + "".join(f"{split.name + ' %':>10}{'images':>8}" for split in check.splits))
        for index, info in enumerate(check.classes):
            counts = [split.classes[index] for split in check.splits]
            row = "".join(f"{_percent(count.share):>10}{count.images:>8}" for count in counts)
            lines.append(f"{info.name:<{width}}{row}")
    lines += [f"note: {note}" for note in check.notes]
    found = f"{len(check.faults)} {'fault' if len(check.faults) == 1 else 'faults'}:"
    return "\n".join([*lines, *([found, *(f"  {fault}" for fault in check.faults)] if check.faults else ["no fault"])])


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if 0 < share < 0.0001 else f"{100 * share:.2f}"


def _unpaired_faults(dataset: FolderDataset) -> list[str]:
    named = {id for ids in dataset.splits.values() for id in ids}
    faults = [
        f"masks/{path.name}: expected a .png"
        for path in images_in(dataset.root / "masks")
        if path.suffix.lower() != ".png"
    ]
    faults += [
        f"images/{path.name}: no mask masks/{id}.png"
        for id, path in dataset.images.items()
        if id not in dataset.masks and id not in named
    ]
    return faults + [
        f"masks/{path.name}: no image {id} in images/" for id, path in dataset.masks.items() if id not in dataset.images
    ]


def _decode(dataset: FolderDataset, ids: Collection[str]) -> dict[str, Pair]:
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(partial(_decode_id, dataset), ids)
        return dict(zip(ids, progress_bar(decoded, "checking images and masks", len(ids)), strict=True))


def _decode_id(dataset: FolderDataset, id: str) -> Pair:
    # a missing file is a fault of its own, found without decoding
    image, mask = (_is_there(paths.get(id)) for paths in (dataset.images, dataset.masks))
    return decode_pair(dataset, id, image=image, mask=mask)


def _is_there(path: Path | None) -> bool:
    return path is not None and (path.is_file() or path.parents[1].is_file())


def _unused_notes(dataset: FolderDataset) -> list[str]:
    unused = dataset.images.keys() - {id for ids in dataset.splits.values() for id in ids}
    return [f"images/: {len(unused)} in no split"] if unused else []
