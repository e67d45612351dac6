"""What a network is worth on a split, and the BatchNorm statistics that it is judged and shipped with."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from hardedge.console import progress_bar
from hardedge.contracts import SegmentationScore, Task
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.errors import BadInput, users_code
from hardedge.metrics import Counts, confusion_counts, doubt_of_counts, score_of
from hardedge.train import processes
from hardedge.train.batches.samples import TrainingSample, image_tensor, normalise_pixels

# a running average has forgotten its start, and lags little, only after many of its time constants (1 / momentum)
TIME_CONSTANTS = 100


def device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def network_input(image_HWC: Pixels, device: torch.device) -> Tensor:
    """One image as the normalised batch of one that the network takes, float32 [1, 3, H, W]."""
    return normalise_pixels(image_tensor(image_HWC))[None].to(device)


def resize_logits(maps_BChw: Tensor, size: Sequence[int]) -> Tensor:
    """Logits at (height, width): bilinear where the size differs."""
    if maps_BChw.shape[-2:] == tuple(size):
        return maps_BChw
    return F.interpolate(maps_BChw, size=tuple(size), mode="bilinear", align_corners=False)


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients while the block runs; training mode afterwards.

    Raises BadInput for what a user's own network raises in it.
    """
    module.eval()
    try:
        with torch.inference_mode(), users_code("the network or a branch"):
            yield
    finally:
        module.train()


def confusion_of(model: nn.Module, dataset: Dataset, ids: Iterable[str]) -> Counts:
    """The model's confusion counts over the images, one at a time, at each label's own resolution."""
    task, device = dataset.task, device_of(model)
    counts = np.zeros((task.num_classes, task.num_classes), np.int64)
    with evaluation_mode(model):
        for id in ids:
            image_HWC, label_HW = dataset.pair(id)
            logits_BCHW = model(network_input(image_HWC, device))
            mask_HW = logits_BCHW.argmax(1)[0].to(torch.uint8).cpu().numpy()
            counts += confusion_counts(mask_HW, label_HW, task.num_classes, task.ignore_index)
    return counts


@dataclass(frozen=True)
class Validation:
    """A score, and what makes one doubt it: one class labelled or predicted throughout."""

    score: SegmentationScore
    doubts: tuple[str, ...]


def validate(model: nn.Module, dataset: Dataset, *, told: bool = False) -> Validation:
    """The score on the validation split, of which each process counts its own share of the images.

    With `told` under a progress bar, which a training has already.

    Raises BadInput when no pixel of it is labelled.
    """
    ids = processes.shard_items(dataset.splits["val"])
    counts = processes.sum_over_processes(
        torch.from_numpy(
            processes.raise_together(
                lambda: confusion_of(model, dataset, progress_bar(ids, "validation") if told else ids)
            )
        )
    ).numpy()
    if not counts.any():
        raise BadInput(
            f"{dataset.root}/splits/val.txt: no pixel of these masks is labelled, so nothing can be validated. "
            "Put labelled images into the split."
        )
    return Validation(score_of(counts, dataset.task), _doubts(counts, dataset.task))


def _doubts(counts_CC: Counts, task: Task) -> tuple[str, ...]:
    labelled = np.flatnonzero(counts_CC.sum(1))
    if len(labelled) == 1:
        name = task.classes[int(labelled[0])].name
        return (f"class {name} alone is labelled in val: the score says nothing of the others",)
    doubt = doubt_of_counts(counts_CC[None])
    return (f"{doubt}: nothing was learned that tells the classes apart",) if doubt else ()


def needs_reestimation(model: nn.Module, steps: int) -> bool:
    """Whether a training of that many steps is too short for the running statistics of one of the BatchNorms.

    Below 100 time constants it is: 1,000 steps with torch's momentum 0.1, 10,000 with MobileNetV3's 0.01.
    """
    momenta = [module.momentum for module in model.modules() if isinstance(module, _BatchNorm)]
    return any(momentum is None or steps * momentum < TIME_CONSTANTS for momentum in momenta)


@contextmanager
def with_reestimated_batchnorm(
    training: nn.Module, batches: Iterable[tuple[Tensor, ...] | TrainingSample]
) -> Iterator[None]:
    """BatchNorm statistics averaged over the batches (of all processes) while the block runs.

    The buffers are as before afterwards.
    """
    norms = [module for module in training.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    kept = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    update_bn(batches, training)
    average_buffers(training)
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in buffers.items():
                norm.get_buffer(name).copy_(buffer)


@torch.no_grad()
def average_buffers(training: nn.Module) -> None:
    """Gives all processes the same BatchNorm statistics: the mean of those that each has from its own images."""
    if processes.process_count() > 1:
        for buffer in training.buffers():
            if buffer.is_floating_point():
                processes.mean_over_processes(buffer)


def synchronise_batchnorm(training: nn.Module) -> None:
    """Turns each BatchNorm into one over the images of all processes; state keys stay."""
    nn.SyncBatchNorm.convert_sync_batchnorm(training)  # type: ignore[no-untyped-call]  # torch's own
