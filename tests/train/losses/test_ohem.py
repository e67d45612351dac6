"""OHEM against loops, and its ties."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import CrossEntropy, Ohem
from hardedge.train.losses.ohem import hard_pixel_weights

Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("min_kept", [0.0, 0.01, 0.3, 1.0])
def test_ohem_is_the_mean_over_the_hard_pixels_or_the_hardest(
    example: Example, labelled: Labelled, pixel_loss: PixelLoss, threshold: float, min_kept: float
) -> None:
    logits_BCHW, _, target_BHW = example()
    losses = [pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in labelled(target_BHW)]
    hard = [loss for loss in losses if math.exp(-loss) < threshold]
    at_least = math.ceil(min_kept * len(losses))
    kept = hard if len(hard) >= at_least else sorted(losses, reverse=True)[:at_least]
    expected = sum(kept) / max(len(kept), 1)
    found = Ohem(threshold=threshold, min_kept=min_kept)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_ohem_that_keeps_all_is_cross_entropy(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    found = Ohem(min_kept=1.0)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(CrossEntropy()(logits_BCHW, target_BHW).item(), rel=1e-12)


def test_only_the_kept_pixels_have_a_gradient(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    logits_BCHW.requires_grad_()
    Ohem(threshold=0.3, min_kept=0.0)(logits_BCHW, target_BHW).backward()
    valid_BHW = target_BHW != 255
    own_BHW = logits_BCHW.softmax(1).gather(1, (target_BHW * valid_BHW)[:, None])[:, 0]
    assert torch.equal((logits_BCHW.grad != 0).any(1), valid_BHW & (own_BHW < 0.3))


def test_pixels_that_tie_share_the_last_places() -> None:
    """Three places: one is the hardest's, two are shared by four."""
    loss_N = torch.tensor([0.1, 3.0, 0.2, 0.2, 0.2, 0.0, 0.2])
    weights_N = hard_pixel_weights(loss_N, threshold=0.0, at_least=torch.tensor(3))
    expected_N = torch.tensor([0.0, 1.0, 0.5, 0.5, 0.5, 0.0, 0.5]) / 3
    torch.testing.assert_close(weights_N, expected_N)


@pytest.mark.parametrize("ignored", [0, 5])
def test_sure_pixels_fill_the_places_that_hard_ones_leave(ignored: int) -> None:
    """Of ten labelled pixels nine have a loss of 0: half of them kept, the mean is over five."""
    logits_BCHW = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).repeat(1, 1, 1, 10 + ignored)
    logits_BCHW[0, :, 0, 0] = 0.0
    target_BHW = torch.zeros(1, 1, 10 + ignored, dtype=torch.long)
    target_BHW[0, 0, 10:] = 255
    found = Ohem(min_kept=0.5)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(math.log(2) / 5, rel=1e-6)


def test_without_a_hard_pixel_or_a_least_share_the_loss_is_zero() -> None:
    logits_BCHW = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1).repeat(1, 1, 4, 4).requires_grad_()
    found = Ohem(min_kept=0.0)(logits_BCHW, torch.zeros(1, 4, 4, dtype=torch.long))
    found.backward()
    assert found.item() == 0
    assert torch.equal(logits_BCHW.grad, torch.zeros_like(logits_BCHW))


@pytest.mark.parametrize("make", [lambda: Ohem(threshold=1.1), lambda: Ohem(min_kept=-0.1), lambda: Ohem(min_kept=2.0)])
def test_shares_outside_0_to_1_are_refused(make: Callable[[], Ohem]) -> None:
    with pytest.raises(BadInput, match="threshold is a probability and min_kept a share"):
        make()
