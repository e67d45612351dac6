"""Hardness maps for the later stages, which never see the branch."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from hardedge.console import note, progress_bar
from hardedge.contracts import Checkpoint, HardnessSource, load
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.errors import BadInput
from hardedge.models import build_network
from hardedge.models.user_network import require_code_allowed
from hardedge.train.branches import Training, attach_branches
from hardedge.train.evaluation import device_of, evaluation_mode, network_input, resize_logits
from hardedge.train.recipe import Recipe

CALIBRATION_CANDIDATES = 128
TRAINING_MAPS = "state/hardness_maps"


def hardness_source(training: Training) -> HardnessSource:
    return "branch" if "hardness" in training.branches else "confidence"


def write_hardness_maps(
    training: Training,
    dataset: Dataset,
    directory: Path,
    *,
    candidates: int | None = None,
    skip_unreadable: bool = False,
) -> None:
    """Writes test/ID.png for the test split and train/ID.png for the calibration candidates (of all, or so many).

    8-bit, at label resolution: 255 * sigmoid(hardness logits), or 255 * (1 - top probability) without a branch.
    With `skip_unreadable` a training image that cannot be read gets none.
    """
    few = CALIBRATION_CANDIDATES if candidates is None else candidates
    splits = {"test": dataset.splits["test"], "train": evenly_spaced(dataset.splits["train"], few)}
    todo = [(split, id) for split, ids in splits.items() for id in ids]
    for split in splits:
        (directory / split).mkdir(parents=True, exist_ok=True)
    with evaluation_mode(training):
        for split, id in progress_bar(todo, "hardness maps"):
            path = directory / split / f"{id}.png"
            _write_map(training, dataset, id, path, skip_unreadable and split == "train")


def _write_map(training: Training, dataset: Dataset, id: str, path: Path, skip_unreadable: bool) -> None:
    try:
        pair = dataset.pair(id)
    except BadInput:
        if not skip_unreadable:
            raise
        return
    Image.fromarray(hardness_map(training, *pair)).save(path)


def write_training_maps(
    checkpoint: Path, dataset: Dataset, directory: Path, *, allow_code: bool = False, skip_unreadable: bool = False
) -> None:
    """Writes ID.png for every training image: how hard a trained checkpoint finds it, as write_hardness_maps does.

    Raises BadInput when the checkpoint is not sound, or was trained on other classes.
    """
    source = load(Checkpoint, checkpoint)
    if source.task != dataset.task:
        ours, theirs = (", ".join(info.name for info in task.classes) for task in (dataset.task, source.task))
        raise BadInput(f"{checkpoint} was trained on other classes ({theirs}) than these ({ours}). Train one on them.")
    if source.hardness == "confidence":
        note(f"{checkpoint} has no hardness branch: its maps are 1 - top probability, which is not HL")
    training = load_trained(source, checkpoint, allow_code=allow_code)
    directory.mkdir(parents=True)
    with evaluation_mode(training):
        for id in progress_bar(dataset.splits["train"], "hardness maps"):
            _write_map(training, dataset, id, directory / f"{id}.png", skip_unreadable)


def load_trained(source: Checkpoint, checkpoint: Path, *, allow_code: bool = False) -> Training:
    """The checkpoint's network with its branches, on the GPU if there is one.

    Raises BadInput for a network of a user's own, unless `allow_code`.
    """
    require_code_allowed(source.network, checkpoint, allowed=allow_code)
    training = attach_branches(build_network(source.network), source.network, Recipe.from_json(source.recipe).parts())
    training.model.load_state_dict(load_file(checkpoint / "weights.safetensors"))
    training.branches.load_state_dict(load_file(checkpoint / "training_only.safetensors"))
    return training.to("cuda" if torch.cuda.is_available() else "cpu")


def calibration_candidates(ids: Sequence[str]) -> tuple[str, ...]:
    """At most 128 of the ids, evenly spaced."""
    return evenly_spaced(ids, CALIBRATION_CANDIDATES)


def evenly_spaced(ids: Sequence[str], most: int) -> tuple[str, ...]:
    """At most so many of the ids, in their order."""
    count = min(len(ids), most)
    return tuple(ids[place * len(ids) // count] for place in range(count))


def hardness_map(training: Training, image_HWC: Pixels, label_HW: Pixels) -> Pixels:
    """One image's map, uint8 of its label's shape; `training` is in evaluation mode."""
    outputs = training(network_input(image_HWC, device_of(training)))
    hardness_HW = hardness_of(outputs, label_HW.shape)
    return (255 * hardness_HW).round().to(torch.uint8).cpu().numpy()


def hardness_of(outputs: dict[str, Tensor], size: tuple[int, ...]) -> Tensor:
    """Hardness 0 to 1, float32 [H, W], of the first image: the branch's, or 1 - top probability without one."""
    if "hardness" in outputs:
        return resize_logits(outputs["hardness"].float(), size).sigmoid()[0, 0]
    return 1 - outputs["logits"].float().softmax(1).amax(1)[0]
