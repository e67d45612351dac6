"""Focal loss against loops, and at its limits."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import CrossEntropy, Focal
from hardedge.train.losses.focal import focal_terms

Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_is_the_mean_of_the_softmaxs_missing_part_times_cross_entropy(
    example: Example, labelled: Labelled, pixel_loss: PixelLoss, gamma: float
) -> None:
    logits_BCHW, _, target_BHW = example()
    losses = [pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in labelled(target_BHW)]
    expected = sum((1 - math.exp(-loss)) ** gamma * loss for loss in losses) / len(losses)
    found = Focal(gamma=gamma)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_focal_without_focus_is_cross_entropy(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    assert torch.equal(Focal(gamma=0.0)(logits_BCHW, target_BHW), CrossEntropy()(logits_BCHW, target_BHW))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
def test_sure_pixels_have_no_gradient_though_the_powers_slope_is_infinite(gamma: float) -> None:
    logits_BCHW = torch.tensor([100.0, -100.0]).view(1, 2, 1, 1).requires_grad_()
    found = Focal(gamma=gamma)(logits_BCHW, torch.zeros(1, 1, 1, dtype=torch.long))
    found.backward()
    assert found.item() == 0
    assert torch.equal(logits_BCHW.grad, torch.zeros(1, 2, 1, 1))


def test_nearly_sure_pixels_keep_their_precision() -> None:
    """1 - p = 1e-8 is lost in the difference of float32."""
    assert focal_terms(torch.tensor(1e-8), gamma=1.0).item() == pytest.approx(1e-16, rel=1e-6, abs=0)


@pytest.mark.parametrize("gamma", [-1.0, math.inf, math.nan])
def test_a_gamma_that_means_nothing_is_refused(gamma: float) -> None:
    with pytest.raises(BadInput, match="gamma must be finite and not negative"):
        Focal(gamma=gamma)
