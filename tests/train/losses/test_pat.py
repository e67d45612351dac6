"""PAT against loops, and what its two parts do."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import CrossEntropy, Pat
from hardedge.train.losses.pat import adapt_temperature

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]
PARTS = [Pat(), Pat(k=0.0), Pat(k="classes"), Pat(k=3.0, homogenise=False), Pat(k=5.0, max_weight=0.8)]


@pytest.mark.parametrize("term", PARTS, ids=str)
@pytest.mark.parametrize(
    "labels", [lambda target_BHW: target_BHW, lambda target_BHW: target_BHW.masked_fill_(target_BHW == 2, 255)]
)
def test_pat_weighs_by_confidence_and_averages_by_class(
    example: Example,
    labelled: Labelled,
    pixel_loss: PixelLoss,
    term: Pat,
    labels: Callable[[Tensor], Tensor],
) -> None:
    """With all classes, and with one that no pixel has."""
    logits_BCHW, _, target_BHW = example()
    target_BHW = labels(target_BHW)
    k = C if term.k == "classes" else term.k
    by_class: dict[int, list[float]] = {}
    for pixel in labelled(target_BHW):
        loss = pixel_loss(logits_BCHW, target_BHW, *pixel)
        weight = min(0.5 * math.exp(k * (1 - math.exp(-loss))), term.max_weight)
        by_class.setdefault(int(target_BHW[pixel]), []).append(weight * loss)
    means = [sum(values) / len(values) for values in by_class.values()]
    values = [value for values in by_class.values() for value in values]
    expected = sum(means) / len(means) if term.homogenise else sum(values) / len(values)
    assert term(logits_BCHW, target_BHW).item() == pytest.approx(expected, rel=1e-12)


def test_pat_with_both_parts_off_is_half_of_cross_entropy(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    found = Pat(k=0.0, homogenise=False)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(CrossEntropy()(logits_BCHW, target_BHW).item() / 2, rel=1e-12)


@pytest.mark.parametrize("k", [1.0, 19.0])
def test_the_weight_goes_from_a_half_for_sure_pixels_to_the_most_for_lost_ones(k: float) -> None:
    loss_N = torch.tensor([1e-9, 40.0], dtype=torch.float64)
    weights_N = adapt_temperature(loss_N, k, max_weight=10.0) / loss_N
    expected_N = torch.tensor([0.5, min(0.5 * math.exp(k), 10.0)], dtype=torch.float64)
    torch.testing.assert_close(weights_N, expected_N, rtol=1e-7, atol=0)  # k * 1e-9 from the first loss's p


def test_the_gradient_passes_through_the_weight() -> None:
    """d(w l)/dl = w (1 + k p l), and w alone where it is at most."""
    loss_N = torch.tensor([0.3, 5.0], dtype=torch.float64, requires_grad=True)
    adapt_temperature(loss_N, 4.0, max_weight=20.0).sum().backward()
    p = math.exp(-0.3)
    expected_N = torch.tensor([0.5 * math.exp(4 * (1 - p)) * (1 + 4 * p * 0.3), 20.0], dtype=torch.float64)
    torch.testing.assert_close(loss_N.grad, expected_N)


def test_many_classes_do_not_make_the_weight_infinite() -> None:
    """exp(150) is beyond float32."""
    logits_BCHW = torch.zeros(1, 150, 2, 2)
    logits_BCHW[:, 1] = 1e4
    logits_BCHW.requires_grad_()
    found = Pat(k="classes")(logits_BCHW, torch.zeros(1, 2, 2, dtype=torch.long))
    found.backward()
    assert found.item() == pytest.approx(1e5)
    assert logits_BCHW.grad.abs().sum().item() == pytest.approx(20)  # 10 to the label's class and to the other


@pytest.mark.parametrize("term", [Pat(), Pat(k="classes")], ids=str)
def test_at_equal_confidence_every_class_has_the_same_total_gradient(example: Example, term: Pat) -> None:
    _, _, target_BHW = example()
    valid_BHW = target_BHW != 255
    logits_BCHW = 2 * F.one_hot(target_BHW * valid_BHW, C).movedim(-1, 1).double()
    logits_BCHW.requires_grad_()
    term(logits_BCHW, target_BHW).backward()
    magnitude_BHW = logits_BCHW.grad.abs().sum(1)
    sizes = [int((target_BHW == c).sum()) for c in range(C)]
    totals = [magnitude_BHW[target_BHW == c].sum().item() for c in range(C) if sizes[c]]
    assert len(set(sizes)) > 2
    assert totals == pytest.approx([totals[0]] * len(totals), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pat(k=-1.0), "k must be finite and not negative, or classes"),
        (lambda: Pat(k=math.inf), "k must be finite and not negative, or classes"),
        (lambda: Pat(max_weight=0.4), "max_weight must be finite and at least 0.5"),
        (lambda: Pat(max_weight=math.inf), "max_weight must be finite and at least 0.5"),
    ],
)
def test_weights_that_mean_nothing_are_refused(make: Callable[[], Pat], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()
