"""CPG against loops, and what it does not see."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import Cpg
from hardedge.train.losses.cpg import sobel

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]


def sobel_at(map_HW: Tensor, i: int, j: int) -> tuple[float, float]:
    """The 3x3 Sobel pair over 8, with replicated borders."""
    down = right = 0.0
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            pixel = map_HW[min(max(i + di, 0), H - 1), min(max(j + dj, 0), W - 1)].item()
            down += di * (2 - abs(dj)) * pixel / 8
            right += dj * (2 - abs(di)) * pixel / 8
    return down, right


@pytest.mark.parametrize("similarity", ["dice", "cosine"])
def test_cpg_compares_gradients_at_the_labels_boundaries(example: Example, labelled: Labelled, similarity: str) -> None:
    logits_BCHW, _, target_BHW = example(ignored=0.04)
    probabilities_BCHW = logits_BCHW.softmax(1)
    terms = []
    for b, i, j in labelled(target_BHW):
        window = target_BHW[b, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        if (window == 255).any():
            continue
        for c in range(C):
            truth = sobel_at((target_BHW[b] == c).double(), i, j)
            if truth == (0, 0):
                continue
            found = sobel_at(probabilities_BCHW[b, c], i, j)
            product = truth[0] * found[0] + truth[1] * found[1]
            squares = math.hypot(*truth) ** 2, math.hypot(*found) ** 2
            terms.append(
                1 - (2 * product / sum(squares) if similarity == "dice" else product / math.prod(squares) ** 0.5)
            )
    assert len(terms) > 20
    # cosine carries an epsilon of 1e-8 on squares of at least 1e-4
    found = Cpg(similarity=similarity)(logits_BCHW, target_BHW)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(sum(terms) / len(terms), rel=1e-12 if similarity == "dice" else 1e-4)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_sobel_of_a_ramp_is_its_slope(kernel: int) -> None:
    ramp_BCHW = (2 * torch.arange(12.0)[:, None] - 3 * torch.arange(13.0)[None]).expand(1, 1, 12, 13)
    inside = slice(kernel // 2, -(kernel // 2))
    down_BCHW, right_BCHW = sobel(ramp_BCHW, kernel)[..., inside, inside]
    assert torch.equal(down_BCHW, torch.full_like(down_BCHW, 2))
    assert torch.equal(right_BCHW, torch.full_like(right_BCHW, -3))


@pytest.mark.parametrize("similarity", ["dice", "cosine"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_cpg_is_zero_where_the_prediction_is_the_label(example: Example, kernel: int, similarity: str) -> None:
    _, _, target_BHW = example(ignored=0.0)
    logits_BCHW = 1000 * F.one_hot(target_BHW, C).movedim(-1, 1).float()
    found = Cpg(kernel=kernel, similarity=similarity)(logits_BCHW, target_BHW)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("change", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2)])
def test_cpg_does_not_see_flips_and_transposition(
    example: Example, kernel: int, change: Callable[[Tensor], Tensor]
) -> None:
    logits_BCHW, _, target_BHW = example(ignored=0.04)
    turned = Cpg(kernel=kernel)(change(logits_BCHW), change(target_BHW))
    assert turned.item() == pytest.approx(Cpg(kernel=kernel)(logits_BCHW, target_BHW).item(), rel=1e-12)


def test_cpg_has_no_gradient_off_the_boundary_band() -> None:
    target_BHW = torch.zeros(1, 12, 12, dtype=torch.long)
    target_BHW[:, :, 6:] = 1  # gradients in columns 5 and 6, their windows reach 4 to 7
    logits_BCHW = torch.randn(1, 3, 12, 12, requires_grad=True)
    Cpg()(logits_BCHW, target_BHW).backward()
    columns_W = logits_BCHW.grad.abs().amax((0, 1, 2))
    assert (columns_W > 0).tolist() == [4 <= column <= 7 for column in range(12)]
