"""Hardness maps for the later stages, which never see the branch."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from hardedge.console import tracked
from hardedge.contracts import HardnessSource
from hardedge.data.folder import Dataset, Pixels
from hardedge.train.branches import Training
from hardedge.train.evaluation import at_size, device_of, evaluating, network_input

CALIBRATION_CANDIDATES = 128


def hardness_source(training: Training) -> HardnessSource:
    return "branch" if "hardness" in training.branches else "confidence"


def write_hardness_maps(training: Training, dataset: Dataset, directory: Path) -> None:
    """Writes test/ID.png for the test split and train/ID.png for the calibration candidates.

    8-bit, at label resolution: 255 * sigmoid(hardness logits), or 255 * (1 - top probability) without a branch.
    """
    splits = {"test": dataset.splits["test"], "train": calibration_candidates(dataset.splits["train"])}
    todo = [(split, id) for split, ids in splits.items() for id in ids]
    for split in splits:
        (directory / split).mkdir(parents=True, exist_ok=True)
    with evaluating(training):
        for split, id in tracked(todo, "hardness maps"):
            map_HW = hardness_map(training, *dataset.pair(id))
            Image.fromarray(map_HW).save(directory / split / f"{id}.png")


def calibration_candidates(ids: tuple[str, ...]) -> tuple[str, ...]:
    """At most 128 of the ids, evenly spaced."""
    count = min(len(ids), CALIBRATION_CANDIDATES)
    return tuple(ids[place * len(ids) // count] for place in range(count))


def hardness_map(training: Training, image_HWC: Pixels, label_HW: Pixels) -> Pixels:
    """One image's map, uint8 of its label's shape; `training` is in evaluation mode."""
    outputs = training(network_input(image_HWC, device_of(training)))
    hardness_HW = _hardness(outputs, label_HW.shape)
    return (255 * hardness_HW).round().to(torch.uint8).cpu().numpy()


def _hardness(outputs: dict[str, Tensor], size: tuple[int, ...]) -> Tensor:
    if "hardness" in outputs:
        return at_size(outputs["hardness"].float(), size).sigmoid()[0, 0]
    return 1 - outputs["logits"].float().softmax(1).amax(1)[0]
