"""Random scale, crop, flip and colour: image and mask together."""

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from hardedge.contracts import Normalisation
from hardedge.data.sampling import nearest_places
from hardedge.train.recipe import IGNORED, Recipe

DRAWN_AGAIN = 10


class RandomScale(v2.Transform):  # type: ignore[misc]  # torchvision is untyped
    """Resizes by one factor, drawn uniformly from (smallest, largest): images bilinear, masks by their nearest pixel.

    Both have half-pixel centres, so that the edges of labels stay on those of the image.
    """

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, list[int]]:
        low, high = self.scale
        factor = low + (high - low) * float(torch.rand(()))
        height, width = flat_inputs[0].shape[-2:]
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Tensor, params: dict[str, list[int]]) -> Tensor:
        if isinstance(inpt, tv_tensors.Mask):
            mask: Tensor = tv_tensors.wrap(scaled_mask(inpt, params["size"]), like=inpt)
            return mask
        scaled: Tensor = self._call_kernel(v2.functional.resize, inpt, params["size"], antialias=True)
        return scaled


def scaled_mask(mask_HW: Tensor, size: list[int]) -> Tensor:
    """A mask or a hardness map at (height, width); torch's `nearest` would move it by up to a pixel."""
    rows, columns = (
        torch.from_numpy(nearest_places(before, after)) for before, after in zip(mask_HW.shape, size, strict=True)
    )
    return mask_HW.as_subclass(Tensor)[rows[:, None], columns]


class VariedCrop(v2.RandomCrop):  # type: ignore[misc]  # torchvision is untyped
    """RandomCrop that draws again, at most ten times, while one class fills `share` of its labelled pixels or more.

    The labels are the first mask; a crop without any is drawn again too.
    """

    def __init__(self, size: tuple[int, int], share: float, fill: dict[type, Any]) -> None:
        super().__init__(size, pad_if_needed=True, fill=fill)
        self.share = share

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, Any]:
        labels_HW = next(each for each in flat_inputs if isinstance(each, tv_tensors.Mask))
        params: dict[str, Any] = super().make_params(flat_inputs)
        for _ in range(DRAWN_AGAIN):
            if largest_share(self.transform(labels_HW, params)) < self.share:
                break
            params = super().make_params(flat_inputs)
        return params


def largest_share(labels_HW: Tensor) -> float:
    """The share of the most frequent class in the labelled pixels; 1 where there are none."""
    counts = torch.bincount(labels_HW.flatten(), minlength=IGNORED + 1)[:IGNORED]
    labelled = int(counts.sum())
    return int(counts.max()) / labelled if labelled else 1.0


def colour_jitter(recipe: Recipe) -> list[v2.Transform]:
    """Brightness, contrast, saturation and hue in random order, each with the recipe's probability; none without."""
    strengths = {name: getattr(recipe, name) for name in ("brightness", "contrast", "saturation", "hue")}
    if not any(strengths.values()) or not recipe.jitter:
        return []
    if recipe.jitter == 1:
        return [v2.ColorJitter(**strengths)]
    changes = [v2.ColorJitter(**{name: strength}) for name, strength in strengths.items() if strength]
    return [v2.RandomOrder([v2.RandomApply([change], recipe.jitter) for change in changes])]


def augmentation(recipe: Recipe, normalisation: Normalisation) -> v2.Transform:
    """The recipe's augmentation of (image uint8 [3, H, W], mask uint8 [H, W]), both of the crop's size after it.

    Where the scaled image is smaller than the crop, the image is padded with the mean colour and the mask with IGNORED.
    It draws from torch's global generator.
    """
    mean = [round(255 * value) for value in normalisation.mean]
    fill = {tv_tensors.Image: mean, tv_tensors.Mask: IGNORED}
    crop = v2.RandomCrop(recipe.crop, pad_if_needed=True, fill=fill)
    if recipe.crop_share < 1:
        crop = VariedCrop(recipe.crop, recipe.crop_share, fill)
    flip = v2.RandomHorizontalFlip(recipe.flip)
    return v2.Compose([RandomScale(recipe.scale), crop, flip, *colour_jitter(recipe)])
