"""Tversky against loops, and its kinship with Dice."""

from collections.abc import Callable

import pytest
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import Dice, Tversky

C = 4
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]


@pytest.mark.parametrize(("alpha", "beta", "smooth"), [(0.3, 0.7, 0.0), (1.0, 0.0, 0.0), (0.2, 2.0, 1.5)])
def test_tversky_weighs_false_and_missed_pixels(
    example: Example, labelled: Labelled, alpha: float, beta: float, smooth: float
) -> None:
    logits_BCHW, _, target_BHW = example()
    target_BHW[target_BHW == 2] = 3  # absent
    probabilities_BCHW = logits_BCHW.softmax(1)
    losses = []
    for c in (0, 1, 3):
        hit = false = missed = 0.0
        for b, i, j in labelled(target_BHW):
            probability = probabilities_BCHW[b, c, i, j].item()
            if target_BHW[b, i, j] == c:
                hit, missed = hit + probability, missed + 1 - probability
            else:
                false += probability
        losses.append(1 - (hit + smooth) / (hit + alpha * false + beta * missed + smooth))
    found = Tversky(alpha=alpha, beta=beta, smooth=smooth)(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(sum(losses) / 3, rel=1e-12)


def test_tversky_with_equal_halves_is_dice(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    found = Tversky(alpha=0.5, beta=0.5, smooth=2.0)(logits_BCHW, target_BHW)
    assert found.item() == Dice(smooth=2.0)(logits_BCHW, target_BHW).item()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -0.1}, "alpha and beta must not be negative"),
        ({"alpha": 0.0, "beta": 0.0}, "not both 0"),
        ({"smooth": -1.0}, "smooth must not be negative"),
    ],
)
def test_weights_that_mean_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Tversky(**options)  # type: ignore[arg-type]
