"""Opens a data set: the native folder, shards, or the layout that a public data set is distributed in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hardedge.data.dataset import SHOWN, Dataset, Labels
from hardedge.errors import BadInput, faults_error
from hardedge.paths import StrPath, local_path


def open_dataset(root: StrPath, labels: Labels = "masks") -> Dataset:
    """Reads a native folder, shards, or a public data set as it is distributed (docs/data.md): classes, splits, names.

    Images and masks are decoded when asked for. Raises BadInput with every fault that shows without decoding one
    (`hardedge check` finds the others), Unavailable without the package that reads the data set.
    """
    root = local_path(root)
    from hardedge.data.importing.recognition import require_native

    if not root.is_dir():
        if root.is_file():
            require_native(root)
        raise BadInput(f"{root} is not a folder. Give a folder with images/, masks/, splits/ and classes.json.")
    dataset, faults = _find(root)
    if labels != "masks":
        dataset = replace(dataset, labels=labels)
        faults += dataset.missing_labels()
    if faults:
        shown = [*faults[:SHOWN], f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else faults
        raise faults_error(f"{root} cannot be used", shown, f"See all faults with: hardedge check {root}")
    return dataset


def _find(root: Path) -> tuple[Dataset, list[str]]:
    from hardedge.data.importing.recognition import require_native
    from hardedge.data.layouts import layout_of, read_layout
    from hardedge.data.native import read_folder
    from hardedge.data.sharded_dataset import read_shards
    from hardedge.data.shards import INDEX

    if (root / INDEX).is_file():
        return read_shards(root)
    layout = layout_of(root)
    require_native(root, layout=layout is not None)
    return read_folder(root) if layout is None else read_layout(layout, root)
