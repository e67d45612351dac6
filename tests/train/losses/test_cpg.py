"""CPG against loops, and what it does not see."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import Cpg, cpg
from hardedge.train.losses.cpg import boundary_and_valid, dense_distances, sobel, sobel_weights

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


@pytest.mark.parametrize("similarity", ["dice", "cosine"])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("ignored", [0.0, 0.04])
@pytest.mark.parametrize("blocky", [True, False])
def test_cpg_is_the_same_from_boundary_pixels_from_parts_and_from_every_pixel(
    example: Example, monkeypatch: pytest.MonkeyPatch, kernel: int, similarity: str, ignored: float, blocky: bool
) -> None:
    logits_BCHW, _, target_BHW = example(1, ignored)
    if not blocky:
        noise_BHW = torch.randint(0, C, target_BHW.shape, generator=torch.Generator().manual_seed(2))
        target_BHW = noise_BHW.where(target_BHW != 255, 255)
    loss = Cpg(kernel=kernel, similarity=similarity)  # type: ignore[arg-type]
    results = []
    for share, chunk in ((1.0, 2**18), (-1.0, 1), (-1.0, 3 * H * W), (-1.0, 2**18)):
        monkeypatch.setattr(cpg, "SPARSE_SHARE", share)
        monkeypatch.setattr(cpg, "CPU_CHUNK", chunk)
        leaf_BCHW = logits_BCHW.clone().requires_grad_()
        loss(leaf_BCHW, target_BHW).backward()
        results.append((loss(logits_BCHW, target_BHW), leaf_BCHW.grad))
    leaf_BCHW = logits_BCHW.clone().requires_grad_()
    valid_B1HW = boundary_and_valid(target_BHW, 255, kernel)[1].unsqueeze(1)
    total, count = dense_distances(loss, leaf_BCHW.softmax(1), target_BHW.unsqueeze(1), valid_B1HW)
    found = total / count
    found.backward()
    assert count > 20
    for value, grad_BCHW in results:
        # float64; the order of sums differs
        assert value.item() == pytest.approx(found.item(), rel=1e-12)
        assert torch.allclose(grad_BCHW, leaf_BCHW.grad, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_sobel_by_differences_is_the_correlation_with_its_weights(kernel: int) -> None:
    map_HW = torch.randn(9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reach = kernel // 2
    padded_BCHW = F.pad(map_HW[None, None], (reach,) * 4, mode="replicate")
    wanted_2HW = F.conv2d(padded_BCHW, sobel_weights(kernel).unsqueeze(1))[0]
    assert torch.allclose(sobel(map_HW[None, None], kernel)[:, 0, 0], wanted_2HW, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_boundary_windows_have_two_labels_and_none_ignored(example: Example, kernel: int) -> None:
    _, _, target_BHW = example(3, 0.02)
    reach = kernel // 2
    boundary_BHW, valid_BHW = boundary_and_valid(target_BHW, 255, kernel)
    for b in range(B):
        for i in range(H):
            for j in range(W):
                window = target_BHW[b, max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
                assert valid_BHW[b, i, j] == (255 not in window)
                assert boundary_BHW[b, i, j] == (255 not in window and len(window.unique()) > 1)
    assert valid_BHW.any()
    assert not valid_BHW.all()
