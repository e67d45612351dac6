"""Cross-entropy against loops."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import CrossEntropy, parse_loss

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


WEIGHTS = (0.5, 2.0, 1.0, 3.5)


def test_class_weights_are_torchs(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    found = CrossEntropy(class_weights=WEIGHTS)(logits_BCHW, target_BHW)
    weight = torch.tensor(WEIGHTS, dtype=logits_BCHW.dtype)
    assert found.item() == pytest.approx(F.cross_entropy(logits_BCHW, target_BHW, weight, ignore_index=255).item())


def test_equal_class_weights_change_nothing(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    weighted = CrossEntropy(class_weights=(3.0,) * C)(logits_BCHW, target_BHW)
    assert weighted.item() == pytest.approx(CrossEntropy()(logits_BCHW, target_BHW).item(), rel=1e-12)


def test_class_weights_of_a_batch_without_labels_give_zero(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    logits_BCHW = logits_BCHW.detach().requires_grad_()
    loss = CrossEntropy(class_weights=WEIGHTS)(logits_BCHW, torch.full_like(target_BHW, 255))
    loss.backward()
    assert loss.item() == 0
    assert logits_BCHW.grad is not None
    assert not logits_BCHW.grad.any()


def test_class_weights_are_read_from_text() -> None:
    text = "ce(class_weights=(0.5, 2.0, 1.0, 3.5))"
    assert str(parse_loss(text)) == text
    assert parse_loss(text).terms[0].loss == CrossEntropy(class_weights=WEIGHTS)


def test_too_few_class_weights_are_told(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    with pytest.raises(BadInput, match="2 class_weights, but 4 classes"):
        CrossEntropy(class_weights=(1.0, 2.0))(logits_BCHW, target_BHW)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_class_weights_are_positive(weight: float) -> None:
    with pytest.raises(BadInput, match="above 0 and finite"):
        CrossEntropy(class_weights=(1.0, weight))
