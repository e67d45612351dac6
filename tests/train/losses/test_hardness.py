"""HL against loops written from its formula, and what its parts learn."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import CrossEntropy, Hardness

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]


@pytest.mark.parametrize("official", [False, True])
def test_hardness_is_the_weighted_sum_less_the_branchs_share(
    example: Example, labelled: Labelled, pixel_loss: PixelLoss, official: bool
) -> None:
    logits_BCHW, hardness_B1HW, target_BHW = example()
    raw = {
        (b, i, j): 1 / (1 + math.exp(-hardness_B1HW[b, 0, i, j])) + 0.1
        for b in range(B)
        for i in range(H)
        for j in range(W)
    }
    labelled = labelled(target_BHW)
    total = sum(raw.values()) if official else sum(raw[pixel] for pixel in labelled)
    segmentation = sum(raw[pixel] / total * pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in labelled)
    found = Hardness(official=official)(logits_BCHW, target_BHW, hardness=hardness_B1HW)
    assert found.item() == pytest.approx(segmentation - 0.01 * segmentation, rel=1e-12)


@pytest.mark.parametrize("official", [False, True])
def test_hardness_gives_each_part_its_own_gradient(example: Example, official: bool) -> None:
    """The branch: -alpha s'(D) (l - mean) / Z, on labelled pixels (methods.md); the network: H (softmax - one-hot)."""
    logits_BCHW, hardness_B1HW, target_BHW = example()
    logits_BCHW.requires_grad_()
    hardness_B1HW.requires_grad_()
    Hardness(alpha=0.3, official=official)(logits_BCHW, target_BHW, hardness=hardness_B1HW).backward()
    valid_BHW = target_BHW != 255
    with torch.no_grad():
        sigmoid_BHW = hardness_B1HW[:, 0].sigmoid()
        counted_BHW = torch.ones_like(valid_BHW) if official else valid_BHW
        total = ((sigmoid_BHW + 0.1) * counted_BHW).sum()
        weights_BHW = (sigmoid_BHW + 0.1) * counted_BHW / total
        known_BHW = target_BHW * valid_BHW
        probabilities_BCHW = logits_BCHW.softmax(1)
        loss_BHW = -probabilities_BCHW.gather(1, known_BHW[:, None])[:, 0].log() * valid_BHW
        branch_BHW = -0.3 * sigmoid_BHW * (1 - sigmoid_BHW) * (loss_BHW - (weights_BHW * loss_BHW).sum()) / total
        one_hot_BCHW = F.one_hot(known_BHW, C).movedim(-1, 1)
        network_BCHW = (weights_BHW * valid_BHW)[:, None] * (probabilities_BCHW - one_hot_BCHW)
    torch.testing.assert_close(hardness_B1HW.grad[:, 0], branch_BHW * counted_BHW, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(logits_BCHW.grad, network_BCHW, rtol=1e-10, atol=1e-14)


def test_equal_losses_teach_the_branch_nothing(example: Example) -> None:
    _, hardness_B1HW, target_BHW = example(ignored=0.2)
    hardness_B1HW.requires_grad_()
    Hardness()(torch.zeros(B, C, H, W, dtype=torch.float64), target_BHW, hardness=hardness_B1HW).backward()
    assert hardness_B1HW.grad.abs().max() < 1e-17


def test_a_flat_hardness_is_cross_entropy(example: Example) -> None:
    """H = 1/n everywhere, so (1 - alpha) times the mean."""
    logits_BCHW, _, target_BHW = example()
    found = Hardness()(logits_BCHW, target_BHW, hardness=torch.full((B, 1, H, W), 0.7, dtype=torch.float64))
    assert found.item() == pytest.approx(0.99 * CrossEntropy()(logits_BCHW, target_BHW).item(), rel=1e-12)
