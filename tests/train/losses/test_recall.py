"""Recall loss against loops, and its limits."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import CrossEntropy, Recall

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]


@pytest.mark.parametrize("term", [Recall(), Recall(smoothing=0.5, reduction="weights"), Recall(official=True)], ids=str)
def test_recall_weighs_each_class_by_its_misses(
    example: Example, labelled: Labelled, pixel_loss: PixelLoss, term: Recall
) -> None:
    logits_BCHW, _, target_BHW = example()
    labelled = labelled(target_BHW)
    missed, count = [0] * C, [0] * C
    for b, i, j in labelled:
        label = int(target_BHW[b, i, j])
        count[label] += 1
        missed[label] += int(logits_BCHW[b, :, i, j].argmax()) != label
    if term.official:
        weight = [max(fn, 1) / max(n, 1) for fn, n in zip(missed, count, strict=True)]
    else:
        weight = [(fn + term.smoothing) / (n + term.smoothing) for fn, n in zip(missed, count, strict=True)]
    weights = [weight[int(target_BHW[pixel])] for pixel in labelled]
    total = sum(w * pixel_loss(logits_BCHW, target_BHW, *pixel) for w, pixel in zip(weights, labelled, strict=True))
    expected = total / (sum(weights) if term.reduction == "weights" else len(labelled))
    assert term(logits_BCHW, target_BHW).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("term", [Recall(), Recall(official=True)], ids=str)
def test_recall_of_a_batch_that_is_all_wrong_is_cross_entropy(example: Example, term: Recall) -> None:
    _, _, target_BHW = example()
    wrong_BHW = (target_BHW + 1) % C  # 255 may become anything
    logits_BCHW = 3 * F.one_hot(wrong_BHW, C).movedim(-1, 1).double()
    assert term(logits_BCHW, target_BHW).item() == pytest.approx(CrossEntropy()(logits_BCHW, target_BHW).item())


def test_official_recall_of_a_perfect_batch_weighs_one_over_the_count(example: Example) -> None:
    _, _, target_BHW = example()
    valid_BHW = target_BHW != 255
    logits_BCHW = 3 * F.one_hot(target_BHW * valid_BHW, C).movedim(-1, 1).double()
    counts_C = torch.bincount(target_BHW[valid_BHW], minlength=C)
    loss = math.log(1 + (C - 1) * math.exp(-3))
    expected = sum(loss for count in counts_C if count) / valid_BHW.sum()
    assert Recall(official=True)(logits_BCHW, target_BHW).item() == pytest.approx(expected.item())
