"""Dice against loops, and what crops with few classes weigh."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import Dice

C = 4
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]


@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_dice_is_the_mean_over_the_present_classes(example: Example, labelled: Labelled, smooth: float) -> None:
    logits_BCHW, _, target_BHW = example()
    target_BHW[target_BHW == 2] = 3  # absent
    probabilities_BCHW = logits_BCHW.softmax(1)
    pixels = labelled(target_BHW)
    losses = []
    for c in (0, 1, 3):
        own = [pixel for pixel in pixels if target_BHW[pixel] == c]
        hit = sum(probabilities_BCHW[b, c, i, j].item() for b, i, j in own)
        found = sum(probabilities_BCHW[b, c, i, j].item() for b, i, j in pixels)
        losses.append(1 - (2 * hit + 2 * smooth) / (found + len(own) + 2 * smooth))
    assert Dice(smooth=smooth)(logits_BCHW, target_BHW).item() == pytest.approx(sum(losses) / 3, rel=1e-12)


def test_a_wrong_prediction_costs_as_much_whether_few_classes_are_present_or_all() -> None:
    target_BHW = torch.zeros(1, 4, 4, dtype=torch.long)
    for classes in (2, 20):
        logits_BCHW = torch.zeros(1, classes, 4, 4)
        logits_BCHW[:, 1] = 1e4
        assert Dice()(logits_BCHW, target_BHW).item() == 1


def test_a_negative_smooth_is_refused() -> None:
    with pytest.raises(BadInput, match=r'loss "dice\(smooth=-1.0\)": smooth must not be negative'):
        Dice(smooth=-1.0)
