"""What `hardedge check` finds in shards: one shard at a time, so that its size is no matter."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from hardedge.console import progress_bar
from hardedge.contracts import Task, sha256_of
from hardedge.data.checking.counts import (
    ClassCount,
    DataCheck,
    Pair,
    SplitCount,
    absent_class_notes,
    count_classes,
    decode_pair,
)
from hardedge.data.dataset import SPLITS
from hardedge.data.sharded_dataset import ShardedDataset, read_shards
from hardedge.data.shards import Shard
from hardedge.errors import BadInput


def check_shards(root: Path) -> DataCheck:
    """Reads every shard, compares its sha256 with the index, decodes its images and masks; all faults in the result.

    Raises BadInput for an index that cannot be read.
    """
    dataset, faults = read_shards(root)
    counts = []
    for split in SPLITS:
        checked = [
            _check_shard(dataset, split, shard)
            for shard in progress_bar(dataset.shards.index.splits[split], f"checking the shards of {split}")
        ]
        faults += [fault for _, found in checked for fault in found]
        counts.append(_together(split, [count for count, _ in checked], dataset.task))
    return DataCheck(
        data=dataset.name,
        classes=dataset.task.classes,
        splits=tuple(counts),
        faults=tuple(dict.fromkeys(fault.replace(f"{root}/", "") for fault in faults)),
        notes=tuple(absent_class_notes(counts, "{}")),
    )


def _check_shard(dataset: ShardedDataset, split: str, shard: Shard) -> tuple[SplitCount, list[str]]:
    path = dataset.root / shard.file
    try:
        ids = dataset.shards.table(shard).ids
    except BadInput as error:
        return count_classes(split, (), {}, dataset.task), [str(error)]
    with ThreadPoolExecutor() as pool:
        pairs: dict[str, Pair] = dict(zip(ids, pool.map(partial(decode_pair, dataset), ids), strict=True))
    faults = [fault for pair in pairs.values() for fault in pair.faults]
    if sha256_of(path) != shard.sha256:
        faults.insert(0, f"{path}: altered since it was written (sha256). Copy the shard again, or prepare it anew.")
    return count_classes(split, ids, pairs, dataset.task), faults


def _together(split: str, parts: Iterable[SplitCount], task: Task) -> SplitCount:
    """The counts of a split's shards as those of one."""
    parts = list(parts)
    labelled = sum(part.labelled for part in parts)
    classes = []
    for index, info in enumerate(task.classes):
        pixels = sum(part.classes[index].pixels for part in parts)
        images = sum(part.classes[index].images for part in parts)
        share = pixels / max(labelled, 1)
        classes.append(ClassCount(name=info.name, pixels=pixels, share=share, images=images))
    return SplitCount(
        name=split,
        images=sum(part.images for part in parts),
        labelled=labelled,
        ignored=sum(part.ignored for part in parts),
        classes=tuple(classes),
    )
