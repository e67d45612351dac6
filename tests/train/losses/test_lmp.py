"""Loss max-pooling against bisection, its limits, and losses that a closed form fails on."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import example as also
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import CrossEntropy, Lmp
from hardedge.train.losses.lmp import max_pooled_weights

Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
PixelLoss = Callable[[Tensor, Tensor, int, int, int], float]
# zeros, ties, and losses from almost none to a lost pixel's
some_losses = st.lists(st.sampled_from([0.0, 0.0, 0.5, 2.0]) | st.floats(1e-7, 2e4), min_size=1, max_size=12)
some_p = st.floats(1.02, 60)
some_ratio = st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.01, 1)


def by_bisection(losses: list[float], p: float, ratio: float) -> float:
    """The maximum of sum(w l): a is where sum(min(1, (l / a)^q)), which falls with a, is the mass."""
    n, q = len(losses), p / (p - 1)
    mass = ratio * n

    def capped(loss: float, level: float) -> float:
        return 1.0 if loss >= level else (loss / level) ** q

    low, high = 0.0, max(losses) * max(1.0, n / mass) ** (1 / q)
    for _ in range(2000):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        over = sum(capped(loss, middle) for loss in losses if loss) >= mass
        low, high = (middle, high) if over else (low, middle)
    tau = n ** (-1 / q) * mass ** (-1 / p)
    return sum(tau * capped(loss, high) ** ((q - 1) / q) * loss for loss in losses if loss)


def pooled(losses: list[float], p: float, ratio: float) -> float:
    loss_N = torch.tensor(losses, dtype=torch.float64)
    return max_pooled_weights(loss_N, torch.tensor(len(losses)), p, ratio).item()


@settings(max_examples=300, deadline=None)
@given(some_losses, some_p, some_ratio)
@also([0.0, 0.0, 0.0, 1.0], 1.7, 0.25)  # as many positive losses as the mass
@also([0.0, 0.0, 1.0, 2.0], 1.7, 0.75)  # fewer
@also([0.0, 1.0, 2.0], 1.7, 1.0)
@also([0.0], 1.7, 0.3)
@also([1.0, 1.0, 1.0], 1.7, 0.3)
@also([1e-7] * 11 + [2e4], 1.02, 0.01)
def test_lmp_is_what_bisection_finds(losses: list[float], p: float, ratio: float) -> None:
    # bisection ends at neighbouring numbers, and the power q <= 51 multiplies their relative distance
    assert pooled(losses, p, ratio) == pytest.approx(by_bisection(losses, p, ratio), rel=1e-11, abs=0)


@settings(max_examples=200, deadline=None)
@given(some_losses, some_p, some_ratio, st.data())
def test_no_weights_within_the_bounds_give_more(
    losses: list[float], p: float, ratio: float, data: st.DataObject
) -> None:
    n, q = len(losses), p / (p - 1)
    size = st.floats(1e-3, 1) if data.draw(st.booleans()) else st.sampled_from([0.0, 1.0])
    weights = data.draw(st.lists(size, min_size=n, max_size=n))
    norm = sum(weight**p for weight in weights) ** (1 / p)
    allowed = n ** (-1 / q) / max(norm, 1e-300)
    bound = n ** (-1 / q) * (ratio * n) ** (-1 / p)
    value = sum(min(weight * allowed, bound) * loss for weight, loss in zip(weights, losses, strict=True))
    assert value <= pooled(losses, p, ratio) * (1 + 1e-9) + 1e-300


@given(some_losses, some_p, some_ratio)
@settings(deadline=None)
def test_lmp_is_between_the_mean_and_the_mean_of_the_hardest(losses: list[float], p: float, ratio: float) -> None:
    found = pooled(losses, p, ratio)
    mass = ratio * len(losses)
    whole = math.floor(mass)
    ranked = [*sorted(losses, reverse=True), 0.0]
    hardest = (sum(ranked[:whole]) + (mass - whole) * ranked[whole]) / mass
    assert sum(losses) / len(losses) * (1 - 1e-9) <= found <= hardest * (1 + 1e-9)


@pytest.mark.parametrize(("p", "expected"), [(1.05, 2.25), (1.3, 1.79), (1.7, 1.48), (2, 1.37), (5, 1.12), (50, 1.02)])
def test_exponential_losses_give_the_table(p: float, expected: float) -> None:
    """The table's own sample has a mean of 1.01 and two decimals; ours are the quantiles, whose mean is 1."""
    n = 10_000
    losses = [-math.log((i + 0.5) / n) for i in range(n)]
    assert pooled(losses, p, 0.25) == pytest.approx(expected, rel=0.02)


def test_the_limits_of_p_are_the_mean_of_the_hardest_and_the_mean(example: Example) -> None:
    """Relative error about (p - 1) log(...) and 1/p log(...)."""
    logits_BCHW, _, target_BHW = example()
    valid_BHW = target_BHW != 255
    loss_BHW = torch.nn.functional.cross_entropy(logits_BCHW, target_BHW, ignore_index=255, reduction="none")
    loss_N = loss_BHW[valid_BHW].sort(descending=True).values
    half = Lmp(p=1 + 1e-9, ratio=32 / len(loss_N))(logits_BCHW, target_BHW)
    assert half.item() == pytest.approx(loss_N[:32].mean().item(), rel=1e-6)
    flat = Lmp(p=1e9)(logits_BCHW, target_BHW)
    assert flat.item() == pytest.approx(CrossEntropy()(logits_BCHW, target_BHW).item(), rel=1e-6)


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_equal_losses_give_their_mean(ratio: float) -> None:
    assert pooled([0.7] * 10, 1.7, ratio) == pytest.approx(0.7, rel=1e-12)


@pytest.mark.parametrize("term", [Lmp(), Lmp(p=1.2, ratio=0.1), Lmp(p=4.0, ratio=1.0)], ids=str)
def test_lmp_of_logits_counts_the_labelled_pixels(
    example: Example, labelled: Labelled, pixel_loss: PixelLoss, term: Lmp
) -> None:
    logits_BCHW, _, target_BHW = example(ignored=0.3)
    losses = [pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in labelled(target_BHW)]
    expected = by_bisection(losses, term.p, term.ratio)
    assert term(logits_BCHW, target_BHW).item() == pytest.approx(expected, rel=1e-11)


def test_sure_pixels_leave_the_hardest_their_weight() -> None:
    """Two of twenty losses are not 0, fewer than the 6 at the bound: a = 0, and both weigh ratio^(-1/p) / n."""
    logits_BCHW = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).repeat(1, 1, 4, 5)
    logits_BCHW[0, :, 0, :2] = 0.0
    logits_BCHW.requires_grad_()
    found = Lmp()(logits_BCHW, torch.zeros(1, 4, 5, dtype=torch.long))
    found.backward()
    bound = 0.3 ** (-1 / 1.7) / 20
    assert found.item() == pytest.approx(2 * bound * math.log(2), rel=1e-6)
    assert logits_BCHW.grad[0, 0, 0, :2].tolist() == pytest.approx([-bound / 2] * 2, rel=1e-6)
    assert logits_BCHW.grad.abs().sum().item() == pytest.approx(2 * bound, rel=1e-6)


@pytest.mark.parametrize("p", [1.02, 1.7, 30.0])
def test_float32_is_as_exact_as_its_losses(p: float) -> None:
    """Losses over fifteen decades: powers of 51 leave the range of float32 on both sides."""
    loss_N = torch.logspace(-10, 4.3, 5000, dtype=torch.float64).float()
    found = max_pooled_weights(loss_N, torch.tensor(5000), p, 0.3).item()
    assert found == pytest.approx(pooled(loss_N.tolist(), p, 0.3), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lmp(p=1.0), "p must be finite and above 1"),
        (lambda: Lmp(p=math.inf), "p must be finite and above 1"),
        (lambda: Lmp(ratio=0.0), "ratio must be above 0 and at most 1"),
        (lambda: Lmp(ratio=1.5), "ratio must be above 0 and at most 1"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(make: Callable[[], Lmp], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()
