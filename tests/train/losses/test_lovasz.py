"""Lovász-Softmax against its definition, the library, and the IoU that it extends."""

from collections.abc import Callable

import pytest
import torch
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import Lovasz

C = 4
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]


def test_lovasz_weighs_each_error_by_what_it_adds_to_the_jaccard_loss(example: Example, labelled: Labelled) -> None:
    logits_BCHW, _, target_BHW = example()
    target_BHW[target_BHW == 2] = 3  # absent
    probabilities_BCHW = logits_BCHW.softmax(1)
    losses = []
    for c in (0, 1, 3):
        pixels = labelled(target_BHW)
        own = {pixel for pixel in pixels if target_BHW[pixel] == c}
        error = {(b, i, j): abs(((b, i, j) in own) - probabilities_BCHW[b, c, i, j].item()) for b, i, j in pixels}
        loss, wrong, before = 0.0, set(), 0.0
        for pixel in sorted(pixels, key=lambda pixel: -error[pixel]):
            wrong.add(pixel)
            jaccard_loss = len(wrong) / len(own | wrong)
            loss += error[pixel] * (jaccard_loss - before)
            before = jaccard_loss
        losses.append(loss)
    # the library has the Jaccard losses in float32
    assert Lovasz()(logits_BCHW, target_BHW).item() == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_lovasz_and_its_gradient_are_the_librarys(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    logits_BCHW = logits_BCHW.float().requires_grad_()
    found = Lovasz()(logits_BCHW, target_BHW)
    expected = LovaszLoss("multiclass", ignore_index=255)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)  # float32, summed in another order
    gradients = [torch.autograd.grad(value, logits_BCHW)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-8)  # float32, and nearly equal errors trade places


def test_lovasz_of_certain_predictions_is_one_less_the_mean_iou(example: Example) -> None:
    _, _, target_BHW = example(0)
    predicted_BHW = example(1, ignored=0.0)[2]
    valid_BHW = target_BHW != 255
    ious = []
    for c in range(C):
        found_BHW, true_BHW = (predicted_BHW == c) & valid_BHW, target_BHW == c
        if true_BHW.any():
            ious.append(((found_BHW & true_BHW).sum() / (found_BHW | true_BHW).sum()).item())
    logits_BCHW = 1e4 * F.one_hot(predicted_BHW, C).movedim(-1, 1).double()
    assert len(ious) > 2
    assert Lovasz()(logits_BCHW, target_BHW).item() == pytest.approx(1 - sum(ious) / len(ious), rel=1e-6)  # float32
