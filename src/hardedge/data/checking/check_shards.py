"""What `hardedge check` finds in shards: one shard at a time, so that its size is no matter."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from hardedge.console import progress_bar
from hardedge.contracts import Task, sha256_of
from hardedge.data.checking.advice import advice_notes
from hardedge.data.checking.counts import (
    ClassCount,
    DataCheck,
    Pair,
    SplitCount,
    absent_class_notes,
    count_classes,
    decode_pair,
)
from hardedge.data.content import label_fault, one_class_note
from hardedge.data.dataset import SPLITS
from hardedge.data.leaks import Leaks, find_leaks
from hardedge.data.sharded_dataset import MOST_COMPARED, ShardedDataset, read_shards
from hardedge.data.shards import Shard
from hardedge.errors import BadInput


def check_shards(root: Path) -> DataCheck:
    """Reads every shard, compares its sha256 with the index, decodes its images and masks; all faults in the result.

    Raises BadInput for an index that cannot be read.
    """
    dataset, faults = read_shards(root)
    counts: list[SplitCount] = []
    seen: dict[str, tuple[str, Pair]] = {}
    keeps = sum(map(len, dataset.splits.values())) <= MOST_COMPARED
    for split in SPLITS:
        parts = []
        for shard in progress_bar(dataset.shards.index.splits[split], f"checking the shards of {split}"):
            pairs, found = _check_shard(dataset, shard)
            parts.append(count_classes(split, pairs, pairs, dataset.task))
            faults += [*found, *(fault for pair in pairs.values() for fault in pair.faults)]
            seen |= {id: (split, replace(pair, values=None)) for id, pair in pairs.items()} if keeps else {}
        counts.append(_together(split, parts, dataset.task))
    leaks, (unlabelled, one_class) = _leaks(dataset), _label_faults(counts, dataset.task)
    faults += [*unlabelled, *leaks.faults]
    split_of = {id: split for id, (split, _) in seen.items()}
    pair_of = {id: pair for id, (_, pair) in seen.items()}
    return DataCheck(
        data=dataset.name,
        classes=dataset.task.classes,
        splits=tuple(counts),
        faults=tuple(dict.fromkeys(fault.replace(f"{root}/", "") for fault in faults)),
        notes=(
            *one_class,
            *leaks.notes,
            *advice_notes(split_of, pair_of, counts),
            *absent_class_notes(counts, "{}"),
        ),
    )


def _leaks(dataset: ShardedDataset) -> Leaks:
    try:
        return find_leaks(dataset)
    except BadInput:  # a damaged shard, which is a fault already
        return Leaks((), ())


def _label_faults(counts: Iterable[SplitCount], task: Task) -> tuple[list[str], list[str]]:
    """Faults and notes of splits without labels, or with those of one class alone."""
    faults, notes = [], []
    for count in counts:
        pixels = np.zeros(256, np.int64)
        pixels[: task.num_classes] = [entry.pixels for entry in count.classes]
        pixels[task.ignore_index] = count.ignored
        if pixels.any():
            faults += [fault for fault in (label_fault(count.name, pixels, task),) if fault]
            notes += [note for note in (one_class_note(count.name, pixels, task),) if note]
    return faults, notes


def _check_shard(dataset: ShardedDataset, shard: Shard) -> tuple[dict[str, Pair], list[str]]:
    """A shard's ids, decoded, and the faults of the tar itself."""
    path = dataset.root / shard.file
    try:
        ids = dataset.shards.table(shard).ids
    except BadInput as error:
        return {}, [str(error)]
    with ThreadPoolExecutor() as pool:
        pairs = dict(zip(ids, pool.map(partial(decode_pair, dataset), ids), strict=True))
    altered = f"{path}: altered since it was written (sha256). Copy the shard again, or prepare it anew."
    return pairs, [altered] if sha256_of(path) != shard.sha256 else []


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
