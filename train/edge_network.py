"""A network that learns from masks alone where their classes have edges; SEMEDA compares masks in its features."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.console import progress_bar
from hardedge.contracts import EdgeNetworkManifest, EdgeScore, Task, load, seal, write_atomically
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_paths
from hardedge.train.batches.epoch_order import mix_seed
from hardedge.train.losses.pixels import one_hot
from hardedge.version import __version__

CHANNELS = (16, 32, 32, 32, 32, 32, 16)
WEIGHTS = "weights.safetensors"
IGNORED = 255  # in the tensors here, whatever the data set's own ignore index
BATCH, CROP, LEARNING_RATE = 4, 96, 2e-3
SCORED_MASKS, SCORED_SIZE = 64, 512


class EdgeNetwork(nn.Module):
    """Eight 3x3 convolutions C-16-32-32-32-32-32-16-C, each but the last with ReLU, at the maps' own resolution.

    From maps [B, C, H, W] in 0..1 (one-hot labels, or probabilities) it gives the list of what each made; the last are
    logits of "a pixel of this class's edge".
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = (num_classes, *CHANNELS, num_classes)
        self.convolutions = nn.ModuleList(nn.Conv2d(*ends, 3, padding=1) for ends in pairwise(widths))
        for name, parameter in self.named_parameters():
            # torch's own initialisation has a sixth of the variance that ReLU needs, and no normalisation mends it here
            nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.kaiming_normal_(parameter)

    def forward(self, maps_BCHW: Tensor) -> list[Tensor]:
        features = []
        for convolution in self.convolutions[:-1]:
            maps_BCHW = convolution(maps_BCHW).relu_()
            features.append(maps_BCHW)
        return [*features, self.convolutions[-1](maps_BCHW)]


def train_edge_network(
    data: StrPath, out: StrPath, *, steps: int = 1000, seed: int = 0, force: bool = False
) -> EdgeNetworkManifest:
    """Trains an edge network on a data set's training masks, and writes its directory.

    Raises BadInput for data that cannot be used, a step count below 1, and `out` that exists (unless `force`);
    Unavailable when the disk is full.
    """
    data, out = local_paths((data, out))
    if steps < 1:
        raise BadInput(f"steps: expected 1 or more, got {steps}.")
    dataset = open_dataset(data)
    require_free(out, force, [data])
    started = time.perf_counter()
    network = fit_edge_network(dataset, steps, seed)
    score = edge_score(network, dataset)
    manifest = EdgeNetworkManifest(
        schema_id=EdgeNetworkManifest.SCHEMA,
        hardedge=__version__,
        made_from=None,
        files={},
        task=dataset.task,
        seed=seed,
        steps=steps,
        validation=score,
        data=dataset.name,
        data_digest=dataset.digest(),
        torch=torch.__version__,
        seconds=time.perf_counter() - started,
    )
    with disk_errors(), staged_directory(out, force=force) as fresh:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
        write_atomically(fresh / WEIGHTS, safetensors.torch.save(tensors))
        return seal(fresh, manifest)


def load_edge_network(directory: Path, task: Task | None = None) -> EdgeNetwork:
    """The network of a directory, frozen, in evaluation mode.

    Raises BadInput for a directory that is not sound, and for a network of other classes than the task's.
    """
    manifest = load(EdgeNetworkManifest, directory)
    theirs = [entry.name for entry in manifest.task.classes]
    if task is not None and theirs != (ours := [entry.name for entry in task.classes]):
        raise BadInput(
            f"{directory} knows the edges of {', '.join(theirs)}, but the data set's classes are {', '.join(ours)}. "
            f"Train one for them: {EdgeNetworkManifest.MADE_BY} DATA --out DIR"
        )
    network = EdgeNetwork(len(theirs))
    network.load_state_dict(safetensors.torch.load((directory / WEIGHTS).read_bytes()))
    return network.eval().requires_grad_(False)


def fit_edge_network(dataset: Dataset, steps: int, seed: int) -> EdgeNetwork:
    """An edge network after so many steps on random crops of the training masks."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EdgeNetwork(dataset.task.num_classes).to(device)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, steps)
    for step in progress_bar(range(steps), "edge network"):
        target_BHW = crop_batch(dataset, seed, step).to(device)
        loss = balanced_loss(network(edge_network_inputs(target_BHW, dataset.task))[-1], target_BHW)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()


def crop_batch(dataset: Dataset, seed: int, step: int) -> Tensor:
    """The step's batch of training masks: random crops, half of them mirrored; int64 [B, h, w], 255 where ignored."""
    rng = np.random.default_rng(mix_seed(seed, "edge network", step))
    ids = dataset.splits["train"]
    batch = []
    for _ in range(BATCH):
        mask_HW = pad_to_crop(known_labels(dataset, ids[int(rng.integers(len(ids)))]))
        top, left = (rng.integers(length - CROP + 1) for length in mask_HW.shape)
        crop_HW = mask_HW[top : top + CROP, left : left + CROP]
        batch.append(crop_HW[:, ::-1] if rng.random() < 0.5 else crop_HW)
    return torch.from_numpy(np.stack(batch)).long()


def known_labels(dataset: Dataset, id: str) -> Pixels:
    """A mask with 255 where it is ignored."""
    mask_HW = dataset.mask(id)
    return np.where(mask_HW == dataset.task.ignore_index, IGNORED, mask_HW).astype(np.uint8)


def pad_to_crop(mask_HW: Pixels) -> Pixels:
    """At least as large as a crop."""
    missing = [(0, max(0, CROP - length)) for length in mask_HW.shape]
    return np.pad(mask_HW, missing, constant_values=IGNORED)


def edge_network_inputs(target_BHW: Tensor, task: Task) -> Tensor:
    """What the network sees of labels, as in the loss: one-hot maps, 0 where ignored."""
    like_BCHW = torch.empty(len(target_BHW), task.num_classes, *target_BHW.shape[1:], device=target_BHW.device)
    return one_hot(target_BHW, IGNORED, like_BCHW)


def class_edges(target_BHW: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Whether a pixel is at the edge of each class, bool [B, C, H, W], and whether that counts, bool [B, 1, H, W].

    An edge is where one of the four neighbours is of the class and the pixel is not, or the other way round. Where the
    3x3 window holds an ignored pixel nothing counts.
    """
    is_class_BCHW = target_BHW.unsqueeze(1) == torch.arange(num_classes, device=target_BHW.device)[:, None, None]
    edges_BCHW = torch.zeros_like(is_class_BCHW)
    for dim in (2, 3):
        length = is_class_BCHW.shape[dim] - 1
        differs = is_class_BCHW.narrow(dim, 0, length) != is_class_BCHW.narrow(dim, 1, length)
        edges_BCHW.narrow(dim, 0, length).logical_or_(differs)
        edges_BCHW.narrow(dim, 1, length).logical_or_(differs)
    ignored_B1HW = (target_BHW == IGNORED).unsqueeze(1).float()
    return edges_BCHW, F.max_pool2d(ignored_B1HW, 3, stride=1, padding=1) == 0


def balanced_loss(logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
    """Binary cross-entropy in which each class counts equally, and its edge as much as all the rest."""
    edges_BCHW, counted_B1HW = class_edges(target_BHW, logits_BCHW.shape[1])
    loss_BCHW = F.binary_cross_entropy_with_logits(logits_BCHW, edges_BCHW.float(), reduction="none")
    on_edge = _mean_of_classes(loss_BCHW, edges_BCHW & counted_B1HW)
    return (on_edge + _mean_of_classes(loss_BCHW, ~edges_BCHW & counted_B1HW)) / 2


def _mean_of_classes(loss_BCHW: Tensor, counted_BCHW: Tensor) -> Tensor:
    """The mean over each class's counted pixels, and over the classes that have any."""
    count_C = counted_BCHW.sum((0, 2, 3))
    mean_C = (loss_BCHW * counted_BCHW).sum((0, 2, 3)) / count_C.clamp_min(1)
    return mean_C.sum() / (count_C > 0).sum().clamp_min(1)


@torch.inference_mode()
def edge_score(network: EdgeNetwork, dataset: Dataset) -> EdgeScore:
    """How well the network finds the edges of at most 64 validation masks, each in its central 512x512."""
    device = next(network.parameters()).device
    counts_3C = torch.zeros(3, dataset.task.num_classes, dtype=torch.long, device=device)
    for mask_HW in progress_bar(validation_masks(dataset), "edge score"):
        target_BHW = torch.from_numpy(mask_HW).long()[None].to(device)
        edges_BCHW, counted_B1HW = class_edges(target_BHW, dataset.task.num_classes)
        found_BCHW = (network(edge_network_inputs(target_BHW, dataset.task))[-1] > 0) & counted_B1HW
        edges_BCHW &= counted_B1HW
        counts_3C += torch.stack([x.sum((0, 2, 3)) for x in (found_BCHW & edges_BCHW, found_BCHW, edges_BCHW)])
    hit_C, found_C, true_C = counts_3C.cpu().double()
    f_C = 100 * 2 * hit_C / (found_C + true_C).clamp_min(1)
    per_class = {
        entry.name: float(f) if true else None for entry, f, true in zip(dataset.task.classes, f_C, true_C, strict=True)
    }
    known_f = [f for f in per_class.values() if f is not None]
    return EdgeScore(mean_f=sum(known_f) / max(len(known_f), 1), per_class=per_class)


def validation_masks(dataset: Dataset) -> Iterator[Pixels]:
    """Evenly spaced ones of the validation split."""
    ids = dataset.splits["val"]
    count = min(len(ids), SCORED_MASKS)
    for place in range(count):
        mask_HW = known_labels(dataset, ids[place * len(ids) // count])
        top, left = (max(0, (length - SCORED_SIZE) // 2) for length in mask_HW.shape)
        yield np.ascontiguousarray(mask_HW[top : top + SCORED_SIZE, left : left + SCORED_SIZE])
