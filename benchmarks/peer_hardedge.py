"""hardedge's own loops beside a plain script's, for peers.py: training steps, masks of files, mIoU of a split.

    python benchmarks/peer_hardedge.py steps DATA --steps 24
    python benchmarks/peer_hardedge.py images DATA --bundle BUNDLE
    python benchmarks/peer_hardedge.py evaluate DATA --bundle BUNDLE

Each step and each image is told as `3/24`; the images are those of the test split.
"""

import argparse
from pathlib import Path

import numpy as np

from hardedge.data import open_dataset
from hardedge.data.decoding import read_image
from hardedge.deploy.segmenter import Segmenter
from hardedge.metrics import confusion_counts, mean_iou


def steps(data: Path, count: int, batch: int, crop: int) -> None:
    import torch

    from hardedge.train.batches.samples import TrainingSamples, training_batches
    from hardedge.train.loop import new_state, training_step
    from hardedge.train.recipes import find_recipe

    recipe = find_recipe("streets_ce", settings(count, batch, crop))
    dataset = open_dataset(data)
    state = new_state(recipe, dataset.task)
    batches = training_batches(TrainingSamples(dataset, recipe), recipe, torch.device("cpu"), first=0, last=count)
    for each in batches:
        training_step(state, recipe, each)
        print(f"{state.step}/{count}", flush=True)


def settings(count: int, batch: int, crop: int) -> dict[str, str]:
    """The recipe's fields in which it is peer_plain.py's training."""
    return {
        "network": "peer_plain:build",
        "steps": str(count),
        "batch": str(batch),
        "crop": f"{crop},{crop}",
        "learning_rate": "0.001",
        "evaluate_every": str(count),
    }


def segment(data: Path, segmenter: Segmenter) -> None:
    dataset = open_dataset(data)
    ids = dataset.splits["test"]
    for done, id in enumerate(ids, start=1):
        segmenter(read_image(dataset.image_path(id))[None])
        print(f"{done}/{len(ids)}", flush=True)


def evaluate(data: Path, segmenter: Segmenter) -> None:
    dataset = open_dataset(data)
    ids, classes, ignored = dataset.splits["test"], dataset.task.num_classes, dataset.task.ignore_index
    counts = np.zeros((classes, classes), np.int64)
    for done, id in enumerate(ids, start=1):
        image_HWC, label_HW = dataset.pair(id)
        counts += confusion_counts(segmenter(image_HWC[None])[0], label_HW, classes, ignored)
        print(f"{done}/{len(ids)}", flush=True)
    print(f"mIoU {100 * mean_iou(counts):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="hardedge's loops, one line a step or an image.")
    parser.add_argument("task", choices=["steps", "images", "evaluate"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=192)
    args = parser.parse_args()

    if args.task == "steps":
        steps(args.data, args.steps, args.batch, args.crop)
        return
    with Segmenter.load(args.bundle) as segmenter:
        (segment if args.task == "images" else evaluate)(args.data, segmenter)


if __name__ == "__main__":
    main()
