"""Whether `hardedge hard` finds wrong labels: some are inserted, and counted in the first part of its list.

    python benchmarks/wrong_labels.py CHECKPOINT DATA [--split test] [--share 0.03] [--seeds 5] [--json]

A inserted error is a whole labelled region that gets another class, one that none of its neighbours has. The list is
ordered by doubt, and for comparison by other things that were measured; chance would find as much as is looked at.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import machine
from scipy.ndimage import binary_dilation
from skimage.measure import label as connected

from hardedge.data.opening import open_dataset
from hardedge.data.palette import save_mask
from hardedge.train.hard.lists import DoubtedLabel
from hardedge.train.hard.ranking import rank_hard

FIRST = 0.05  # of the list is looked at
SMALLEST = 64
ORDERS: dict[str, Callable[[DoubtedLabel], float]] = {
    "doubt": lambda label: label.doubt,
    "disagreement": lambda label: label.disagreement,
    "hard and disagreeing": lambda label: label.hardness * label.disagreement,
    "hardness": lambda label: label.hardness,
}

Place = tuple[str, int, int, int, int]


def insert_wrong_labels(data: Path, out: Path, split: str, share: float, seed: int) -> set[Place]:
    """A copy of the data set in which that share of the split's regions has another class; where they are."""
    shutil.copytree(data, out)
    dataset, rng = open_dataset(out), np.random.default_rng(seed)
    inserted: set[Place] = set()
    for id in dataset.splits[split]:
        label_HW = dataset.mask(id).copy()
        regions_HW = connected(label_HW.astype(np.int32) + 1, connectivity=1)
        for number in range(1, int(regions_HW.max()) + 1):
            inside_HW = regions_HW == number
            own = int(label_HW[inside_HW][0])
            if inside_HW.sum() < SMALLEST or own == dataset.task.ignore_index or rng.random() >= share:
                continue
            around = set(np.unique(label_HW[binary_dilation(inside_HW)]).tolist())
            others = [value for value in range(dataset.task.num_classes) if value not in around]
            if others:
                label_HW[inside_HW] = rng.choice(others)
                rows, columns = np.nonzero(inside_HW)
                top, left = int(rows.min()), int(columns.min())
                inserted.add((id, top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left))
        save_mask(label_HW, dataset.task, dataset.mask_path(id))
    return inserted


def found(labels: tuple[DoubtedLabel, ...], inserted: set[Place], order: Callable[[DoubtedLabel], float]) -> float:
    """The share of the inserted regions in the first part of the list."""
    ranked = sorted(labels, key=order, reverse=True)
    first = ranked[: round(FIRST * len(ranked))]
    return sum((label.id, *label.box) in inserted for label in first) / len(inserted)


def main() -> None:
    parser = argparse.ArgumentParser(description="Inserted wrong labels in the first part of hardedge hard's list.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--share", type=float, default=0.03, help="of the regions get another class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    rows = []
    for seed in range(args.seeds):
        with TemporaryDirectory() as name:
            inserted = insert_wrong_labels(args.data, Path(name) / "data", args.split, args.share, seed)
            out = Path(name) / "out"
            ranking = rank_hard(
                Path(name) / "data", args.checkpoint, out, splits=[args.split], smallest=SMALLEST, shown=1
            )
        shares = {order: found(ranking.labels, inserted, key) for order, key in ORDERS.items()}
        rows.append({"seed": seed, "regions": len(ranking.labels), "inserted": len(inserted)} | shares)
    facts = machine(torch.device("cpu"))
    if args.json:
        print(json.dumps({"machine": facts, "rows": rows}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"inserted regions in the first {100 * FIRST:g} % of the list, by its order")
    print("seed  regions  inserted  " + "  ".join(f"{order:>20}" for order in ORDERS))
    for row in rows:
        shares = "  ".join(f"{100 * row[order]:18.1f} %" for order in ORDERS)
        print(f"{row['seed']:4}  {row['regions']:7}  {row['inserted']:7}  {shares}")


if __name__ == "__main__":
    main()
