"""Training batches that depend on the recipe and the step alone, so that a resumed run sees the same ones."""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors

from hardedge.contracts import Normalisation
from hardedge.data.folder import Dataset, Pixels
from hardedge.errors import BadInput
from hardedge.train.augmentation import IGNORED, augmentation
from hardedge.train.recipe import Recipe

NORMALISATION = Normalisation()

Sample = tuple[Tensor, Tensor]


def seed_of(*key: int | str) -> int:
    """A 63-bit seed from the key's parts, well mixed."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def normalised(image_CHW: Tensor) -> Tensor:
    """A uint8 RGB image as float32 [3, H, W], as the networks take it."""
    mean, std = (torch.tensor(value)[:, None, None] for value in (NORMALISATION.mean, NORMALISATION.std))
    return (image_CHW / 255 - mean) / std


def image_tensor(image_HWC: Pixels) -> Tensor:
    """Pixels [H, W, 3] as a uint8 tensor [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image_HWC.transpose(2, 0, 1)))


class TrainingSamples(TorchDataset[Sample | BadInput]):
    """The endless sequence of augmented training samples: index = step * batch + slot.

    A sample is (image float32 [3, h, w], mask int64 [h, w] with 255 where ignored). Every epoch is a permutation of the
    training split. An unreadable sample is returned as its BadInput: raised in a worker process it would arrive wrapped
    in that process's traceback.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe) -> None:
        self.dataset = dataset
        self.seed = recipe.seed
        self.augment = augmentation(recipe, NORMALISATION)

    def id_at(self, index: int) -> str:
        ids = self.dataset.splits["train"]
        epoch, place = divmod(index, len(ids))
        generator = torch.Generator().manual_seed(seed_of(self.seed, "epoch", epoch))
        return ids[int(torch.randperm(len(ids), generator=generator)[place])]

    def __getitem__(self, index: int) -> Sample | BadInput:
        try:
            image_HWC, mask_HW = self.dataset.pair(self.id_at(index))
        except BadInput as error:
            return error
        known_HW = np.where(mask_HW == self.dataset.task.ignore_index, IGNORED, mask_HW).astype(np.uint8)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, "sample", index))
            image_CHW, target_HW = self.augment(
                tv_tensors.Image(image_tensor(image_HWC)), tv_tensors.Mask(torch.from_numpy(known_HW))
            )
        image_CHW, target_HW = image_CHW.as_subclass(torch.Tensor), target_HW.as_subclass(torch.Tensor)
        return normalised(image_CHW), target_HW.long()


def _batch(samples: list[Sample | BadInput]) -> Sample | BadInput:
    for sample in samples:
        if isinstance(sample, BadInput):
            return sample
    images, masks = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(masks)


def training_batches(
    samples: TrainingSamples, recipe: Recipe, device: torch.device, *, first: int, last: int
) -> Iterator[Sample]:
    """The batches of steps first to last - 1 on the device: images_BCHW float32, target_BHW int64.

    Raises BadInput at the first sample that cannot be read.
    """
    loader: DataLoader[Sample | BadInput] = DataLoader(
        samples,
        batch_size=recipe.batch,
        sampler=range(first * recipe.batch, last * recipe.batch),
        num_workers=recipe.workers,
        collate_fn=_batch,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, BadInput):
            raise batch
        images_BCHW, target_BHW = batch
        yield images_BCHW.to(device, non_blocking=True), target_BHW.to(device, non_blocking=True)
