"""Random scale, crop, flip and colour: image and mask together."""

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from hardedge.contracts import Normalisation
from hardedge.train.recipe import IGNORED, Recipe


class RandomScale(v2.Transform):  # type: ignore[misc]  # torchvision is untyped
    """Resizes by one factor, drawn uniformly from (smallest, largest): images bilinear, masks nearest."""

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, list[int]]:
        low, high = self.scale
        factor = low + (high - low) * float(torch.rand(()))
        height, width = flat_inputs[0].shape[-2:]
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Tensor, params: dict[str, list[int]]) -> Tensor:
        scaled: Tensor = self._call_kernel(v2.functional.resize, inpt, params["size"], antialias=True)
        return scaled


def augmentation(recipe: Recipe, normalisation: Normalisation) -> v2.Transform:
    """The recipe's augmentation of (image uint8 [3, H, W], mask uint8 [H, W]), both of the crop's size after it.

    Where the scaled image is smaller than the crop, the image is padded with the mean colour and the mask with IGNORED.
    It draws from torch's global generator.
    """
    mean = [round(255 * value) for value in normalisation.mean]
    fill = {tv_tensors.Image: mean, tv_tensors.Mask: IGNORED}
    colour = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    steps: list[v2.Transform] = [
        RandomScale(recipe.scale),
        v2.RandomCrop(recipe.crop, pad_if_needed=True, fill=fill),
        v2.RandomHorizontalFlip(recipe.flip),
    ]
    if any(colour):
        steps.append(v2.ColorJitter(*colour))
    return v2.Compose(steps)
