"""Cross-entropy against loops."""

from collections.abc import Callable

import pytest
from torch import Tensor

from hardedge.train.losses import CrossEntropy

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]


def test_cross_entropy_is_the_mean_over_labelled_pixels(
    example: Example, labelled: Labelled, pixel_loss: PixelLoss
) -> None:
    logits_BCHW, _, target_BHW = example()
    losses = [pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in labelled(target_BHW)]
    found = CrossEntropy()(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)
