"""Recall loss against loops, and its limits."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import CrossEntropy, Recall
from hardedge.train.losses.recall import labelled_and_missed

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


@pytest.mark.parametrize("num_classes", [C, 257])
def test_flat_logits_miss_every_pixel(example: Example, num_classes: int) -> None:
    """Which of the equal logits is the highest would be an accident; 257 rivals are 1 in a byte."""
    _, _, target_BHW = example()
    found = Recall()(torch.zeros(B, num_classes, H, W), target_BHW)
    assert found.item() == pytest.approx(math.log(num_classes), rel=1e-6)


def test_weights_are_between_one_over_the_count_and_one(example: Example) -> None:
    """The weights show in the gradient: at each label's own logit it is -w (1 - p) / (number of labelled pixels)."""
    logits_BCHW, _, target_BHW = example()
    logits_BCHW.requires_grad_()
    Recall(official=True)(logits_BCHW, target_BHW).backward()
    valid_BHW = target_BHW != 255
    class_B1HW = (target_BHW * valid_BHW)[:, None]
    slope_BHW = (logits_BCHW.grad.gather(1, class_B1HW) / (logits_BCHW.softmax(1).gather(1, class_B1HW) - 1))[:, 0]
    weights_BHW = slope_BHW * valid_BHW.sum()
    for c in range(C):
        weights_N = weights_BHW[target_BHW == c]
        assert (weights_N - weights_N[0]).abs().max() < 1e-12
        assert 1 / len(weights_N) - 1e-12 <= weights_N[0] <= 1 + 1e-12


@pytest.mark.parametrize("num_classes", [1, 4, 300])
def test_counts_are_the_same_class_by_class_and_compiled(num_classes: int) -> None:
    """The compiler, and a GPU, get a branch of their own."""
    generator = torch.Generator().manual_seed(4)
    logits_BCHW = torch.randint(0, 3, (B, num_classes, H, W), generator=generator).float()  # full of ties
    target_BHW = torch.randint(0, num_classes, (B, H, W), generator=generator)
    target_BHW[0, :2] = 255 if num_classes < 256 else -1
    ignored = int(target_BHW[0, 0, 0])
    expected = [[0] * num_classes, [0] * num_classes]
    for b, i, j in (target_BHW != ignored).nonzero().tolist():
        label = int(target_BHW[b, i, j])
        scores = logits_BCHW[b, :, i, j].tolist()
        expected[0][label] += 1
        expected[1][label] += any(score >= scores[label] for c, score in enumerate(scores) if c != label)
    assert labelled_and_missed(logits_BCHW, target_BHW, ignored).tolist() == expected
    torch._dynamo.reset()
    compiled = torch.compile(labelled_and_missed, fullgraph=True, backend="aot_eager")
    assert compiled(logits_BCHW, target_BHW, ignored).tolist() == expected
