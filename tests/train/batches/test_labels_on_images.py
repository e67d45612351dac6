"""Augmentation moves image, labels, hardness maps and distances as one: sub-pixel edges at many scales and crops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from hardedge.contracts import Normalisation
from hardedge.train.batches.augmentation import augmentation
from hardedge.train.losses.boundary import boundary_distance
from hardedge.train.recipe import IGNORED, Recipe

SCALES = (0.5, 0.6, 0.75, 0.9, 1.1, 1.25, 1.4, 1.5, 2.0)
HEIGHT, WIDTH = 4, 200
EDGES = range(60, 140)


def offsets(recipe: Recipe, vertical: bool) -> list[float]:
    """How far right (or down) of the image's edge the label's is after augmentation, in new pixels, for each edge."""
    augment = augmentation(recipe, Normalisation())
    found = []
    for edge in EDGES:
        mask_HW = (torch.arange(WIDTH) >= edge).to(torch.uint8).repeat(HEIGHT, 1)
        mask_HW = mask_HW.T.contiguous() if vertical else mask_HW
        image_CHW = (255 * mask_HW)[None].repeat(3, 1, 1)
        both = augment(tv_tensors.Image(image_CHW), tv_tensors.Mask(mask_HW), tv_tensors.Mask(255 * mask_HW))
        image_HW, label_HW, map_HW = (each.as_subclass(Tensor).float() for each in both)
        inside_HW = label_HW != IGNORED
        assert torch.equal(map_HW[inside_HW], 255 * label_HW[inside_HW])
        difference_HW = (label_HW - image_HW[0] / 255).where(inside_HW, 0)
        # what is light is as wide in both; where it lies on the right, a label that lies further right has less of it
        across_N = difference_HW.sum(0 if vertical else 1)
        found.append(float(across_N[across_N.abs().argmax()]) * (-1 if recipe.flip == 0 else 1))
    return found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_edges_of_labels_stay_on_those_of_the_image(
    tiny_recipe: Callable[..., Recipe], scale: float, vertical: bool, flip: float
) -> None:
    crop = (round(HEIGHT * scale), round(WIDTH * scale))
    recipe = tiny_recipe(scale=(scale, scale), crop=crop[::-1] if vertical else crop, flip=flip)
    found = offsets(recipe, vertical)
    # a label's edge lies between whole pixels: half a pixel each, and 8 bits of a grey value
    assert max(map(abs, found)) <= 0.51
    assert np.mean(found) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_they_do_so_in_random_scales_and_crops(tiny_recipe: Callable[..., Recipe], seed: int) -> None:
    torch.manual_seed(seed)
    changes: dict[str, Any] = {"scale": (0.5, 2.0), "flip": 0.0, "crop": (HEIGHT, 320)}
    found = offsets(tiny_recipe(**changes), vertical=False)
    assert max(map(abs, found)) <= 0.51
    # 80 offsets that are uniform in half a pixel to either side: 0.03 is their mean's standard deviation
    assert np.mean(found) == pytest.approx(0, abs=0.1)


def test_a_distance_is_that_to_the_edge_of_the_scaled_image(tiny_recipe: Callable[..., Recipe]) -> None:
    """On the pixel left of the edge it is 0: from the image's own edge it is half a pixel at most beside that."""
    augment = augmentation(tiny_recipe(scale=(1.4, 1.4), crop=(6, 280), flip=0.0), Normalisation())
    for edge in EDGES:
        mask_HW = (torch.arange(WIDTH) >= edge).to(torch.uint8).repeat(HEIGHT, 1)
        label_HW = augment(tv_tensors.Image((255 * mask_HW)[None].repeat(3, 1, 1)), tv_tensors.Mask(mask_HW))[1]
        distance_W = boundary_distance(label_HW.as_subclass(Tensor).numpy())[0]
        assert abs(int(distance_W.argmin()) + 1 - 1.4 * edge) <= 0.5 + 1e-9
