"""Training batches that depend on the recipe and the step alone, so that a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors

from hardedge.contracts import Normalisation
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels, read_mask
from hardedge.errors import BadInput
from hardedge.train import processes
from hardedge.train.batches.augmentation import augmentation
from hardedge.train.batches.epoch_order import EpochOrder, mix_seed
from hardedge.train.losses.boundary import boundary_distance
from hardedge.train.recipe import IGNORED, Recipe

NORMALISATION = Normalisation()


class TrainingSample(NamedTuple):
    """An augmented image and its labels, or a batch of them, and what the loss reads beside them, by name.

    `ids` are those of the images; `unreadable` those of the images whose places they took, each with what is wrong.
    """

    image: Tensor
    target: Tensor
    beside: dict[str, Tensor]
    ids: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()

    def on(self, device: torch.device) -> TrainingSample:
        """The batch on the device."""
        beside = {name: value.to(device, non_blocking=True) for name, value in self.beside.items()}
        image, target = (tensor.to(device, non_blocking=True) for tensor in (self.image, self.target))
        return self._replace(image=image, target=target, beside=beside)

    def parts(self, count: int) -> list[TrainingSample]:
        """The batch in so many equal parts, in order."""
        size = len(self.image) // count
        places = [slice(start, start + size) for start in range(0, count * size, size)]
        return [
            TrainingSample(
                self.image[place],
                self.target[place],
                {name: value[place] for name, value in self.beside.items()},
                self.ids[place],
            )
            for place in places
        ]


def normalise_pixels(image_CHW: Tensor) -> Tensor:
    """A uint8 RGB image as float32 [3, H, W], as the networks take it."""
    mean, std = (torch.tensor(value)[:, None, None] for value in (NORMALISATION.mean, NORMALISATION.std))
    return (image_CHW / 255 - mean) / std


def denormalise_pixels(images_BCHW: Tensor) -> Tensor:
    """What `normalise_pixels` gave, back as RGB in 0..1."""
    mean, std = (
        torch.tensor(value, device=images_BCHW.device)[:, None, None]
        for value in (NORMALISATION.mean, NORMALISATION.std)
    )
    return images_BCHW * std + mean


def image_tensor(image_HWC: Pixels) -> Tensor:
    """Pixels [H, W, 3] as a uint8 tensor [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image_HWC.transpose(2, 0, 1)))


class TrainingSamples(TorchDataset[TrainingSample | BadInput]):
    """The endless sequence of augmented training samples: index = step * batch + slot.

    A sample is image float32 [3, h, w], target int64 [h, w] with 255 where ignored, and beside them, as float32:
    `distance` [h, w] in pixels to the nearest boundary of the labels, where the loss accepts it; `hardness` [1, h, w],
    the logits of the map in `hardness_maps`/ID.png, where that is given. Every epoch is a permutation of the training
    split (order.py). An unreadable sample is returned as its BadInput: raised in a worker process it would arrive
    wrapped in that process's traceback. With the recipe's `skip_unreadable` the next image of the epoch that can be
    read stands in for it (a damaged shard is no such image): what a sample is still depends on the seed, the index and
    the files alone.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, hardness_maps: Path | None = None) -> None:
        self.dataset = dataset
        self.seed = recipe.seed
        self.hardness_maps = hardness_maps
        # the release's convention has its own
        self.distances = any(
            "distance" in term.loss.accepts and not vars(term.loss).get("official") for term in recipe.loss.terms
        )
        self.augment = augmentation(recipe, NORMALISATION)
        self.skip_unreadable = recipe.skip_unreadable
        self.order = EpochOrder(dataset.blocks("train"), recipe.seed)

    def id_at(self, index: int, further: int = 0) -> str:
        """The id of the sample's image, or of that so many places further in the same epoch, round its end."""
        epoch, turn = divmod(index, len(self.order))
        return self.dataset.splits["train"][self.order.place(epoch, (turn + further) % len(self.order))]

    def __getitem__(self, index: int) -> TrainingSample | BadInput:
        try:
            id, image_HWC, masks, unreadable = self._readable(index)
        except BadInput as error:
            return error
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed GPUs too, and without one write down a traceback for later
            torch.default_generator.manual_seed(mix_seed(self.seed, "sample", index))
            image_CHW, *masks_HW = self.augment(
                tv_tensors.Image(image_tensor(image_HWC)), *(tv_tensors.Mask(torch.from_numpy(mask)) for mask in masks)
            )
        target_HW, *maps_HW = (mask_HW.as_subclass(torch.Tensor) for mask_HW in masks_HW)
        beside = {}
        if maps_HW:
            beside["hardness"] = _logit(maps_HW[0])[None]
        if self.distances:
            beside["distance"] = torch.from_numpy(boundary_distance(target_HW.numpy(), IGNORED))
        return TrainingSample(
            normalise_pixels(image_CHW.as_subclass(torch.Tensor)), target_HW.long(), beside, (id,), tuple(unreadable)
        )

    def _readable(self, index: int) -> tuple[str, Pixels, list[Pixels], list[tuple[str, str]]]:
        """The first readable image from the index on, by id, what is cut with it, and the unreadable ones before it."""
        unreadable: list[tuple[str, str]] = []
        for further in range(len(self.dataset.splits["train"])):
            id = self.id_at(index, further)
            try:
                return id, *self._read(id), unreadable
            except BadInput as error:
                if not self.skip_unreadable:
                    raise
                unreadable.append((id, str(error)))
        raise BadInput(f"none of the training images can be read, for the last of them: {unreadable[-1][1]}")

    def _read(self, id: str) -> tuple[Pixels, list[Pixels]]:
        """The image, and what is cut as it is: the labels, and the hardness map if there is one."""
        image_HWC, mask_HW = self.dataset.training_pair(id)
        known_HW = np.where(mask_HW == self.dataset.task.ignore_index, IGNORED, mask_HW).astype(np.uint8)
        if self.hardness_maps is None:
            return image_HWC, [known_HW]
        return image_HWC, [known_HW, read_mask(self.hardness_maps / f"{id}.png").copy()]


def _logit(map_HW: Tensor) -> Tensor:
    """An 8-bit hardness map as logits; the ends of its range as half a step from them."""
    return (map_HW / 255).clamp(1 / 512, 511 / 512).logit()


def _batch(samples: list[TrainingSample | BadInput]) -> TrainingSample | BadInput:
    for sample in samples:
        if isinstance(sample, BadInput):
            return sample
    images, targets, besides, ids, unreadable = zip(*samples, strict=True)
    beside = {name: torch.stack([each[name] for each in besides]) for name in besides[0]}
    return TrainingSample(torch.stack(images), torch.stack(targets), beside, sum(ids, ()), sum(unreadable, ()))


def training_batches(
    samples: TrainingSamples, recipe: Recipe, device: torch.device, *, first: int, last: int
) -> Iterator[TrainingSample]:
    """This process's share of the batches of steps first to last - 1, on the device.

    Their `unreadable` are those of all processes. Raises BadInput at the first sample that cannot be read, in all
    processes.
    """
    share = recipe.batch // processes.process_count()
    offset = processes.process_rank() * share
    loader: DataLoader[TrainingSample | BadInput] = DataLoader(
        samples,
        batch_size=share,
        sampler=(step * recipe.batch + offset + slot for step in range(first, last) for slot in range(share)),
        num_workers=recipe.workers,
        collate_fn=_batch,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
    )
    for batch in loader:
        processes.raise_on_all(batch if isinstance(batch, BadInput) else None)
        assert isinstance(batch, TrainingSample)  # else it was raised
        unreadable = processes.gather(batch.unreadable or None) if recipe.skip_unreadable else []
        yield batch.on(device)._replace(unreadable=sum(unreadable, ()))
