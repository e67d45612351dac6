"""SSL against loops; its binary cross-entropy where probabilities round to 0 and 1."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import Ssl
from hardedge.train.losses.ssl import gaussian, negative_label_scores, negative_scores, structural_cross_entropy

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]


def score(map_HW: Tensor, i: int, j: int, loss: Ssl) -> float:
    """(x - mean + c4) / (deviation + c4) with a two-dimensional window and replicated borders."""
    reach = loss.window // 2
    weights, values = [], []
    for di in range(-reach, reach + 1):
        for dj in range(-reach, reach + 1):
            weights.append(math.exp(-(di**2 + dj**2) / (2 * loss.sigma**2)))
            values.append(map_HW[min(max(i + di, 0), H - 1), min(max(j + dj, 0), W - 1)].item())
    mean = sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)
    variance = sum(w * (x - mean) ** 2 for w, x in zip(weights, values, strict=True)) / sum(weights)
    return (map_HW[i, j].item() - mean + loss.c4) / (math.sqrt(variance) + loss.c4)


def by_loops(logits_BCHW: Tensor, target_BHW: Tensor, loss: Ssl) -> Tensor:
    """The loss in float64, pair by pair; autograd knows its gradient."""
    probabilities_BCHW = logits_BCHW.softmax(1)
    reach, pairs = loss.window // 2, []
    for b in range(B):
        for i in range(H):
            for j in range(W):
                if (target_BHW[b, max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1] == 255).any():
                    continue
                for c in range(C):
                    of_labels = score((target_BHW[b] == c).double(), i, j, loss)
                    difference = abs(of_labels - score(probabilities_BCHW[b, c].detach(), i, j, loss))
                    p = probabilities_BCHW[b, c, i, j]
                    pairs.append((difference, -(p if target_BHW[b, i, j] == c else 1 - p).log()))
    largest = max(difference for difference, _ in pairs)
    hard = [difference * cross for difference, cross in pairs if difference > loss.beta * largest]
    assert 5 < len(hard) < len(pairs)
    return torch.stack(hard).mean()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "loss", [Ssl(), Ssl(window=5), Ssl(window=11, sigma=2.0), Ssl(beta=0.5, c4=0.3), Ssl(sigma=0.4)], ids=str
)
def test_ssl_and_its_gradient_are_the_formulas(example: Example, loss: Ssl, seed: int) -> None:
    logits_BCHW, _, target_BHW = example(seed, ignored=0.0)
    target_BHW = target_BHW.clone()
    target_BHW[0, 0, 0] = 255
    found_BCHW, wanted_BCHW = (logits_BCHW.clone().requires_grad_() for _ in range(2))
    found, wanted = loss(found_BCHW, target_BHW), by_loops(wanted_BCHW, target_BHW, loss)
    found.backward()
    wanted.backward()
    # the root of a variance: where it is almost 0, its error grows
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)
    assert torch.allclose(found_BCHW.grad, wanted_BCHW.grad, rtol=1e-7, atol=1e-12)


def test_ssl_in_parts_and_at_once_is_the_same(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    logits_BCHW, _, target_BHW = example(2)
    whole = Ssl()(logits_BCHW, target_BHW)
    monkeypatch.setattr("hardedge.train.losses.ssl.PART", 5)
    assert Ssl()(logits_BCHW, target_BHW).item() == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize("window", [3, 5, 11])
def test_windows_weigh_one_in_all(window: int) -> None:
    half = gaussian(window, 1.5)
    assert len(half) == window // 2 + 1
    assert 2 * sum(half) - half[0] == pytest.approx(1)
    assert half[1] / half[0] == pytest.approx(math.exp(-1 / (2 * 1.5**2)))


@pytest.mark.parametrize("window", [3, 11])
@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, 1 - 2**-24, 1.0])
def test_flat_maps_have_exactly_no_deviation_in_float32(window: int, level: float) -> None:
    weights = gaussian(window, 1.5)
    flat_BCHW = torch.full((1, 1, 20, 20), level)
    assert torch.equal(negative_scores(flat_BCHW, weights, 0.01), -torch.ones_like(flat_BCHW))
    if level in (0, 1):
        assert torch.equal(negative_label_scores(flat_BCHW.clone(), weights, 0.01), -torch.ones_like(flat_BCHW))


@pytest.mark.parametrize("window", [3, 5])
def test_labels_have_the_scores_of_any_map(example: Example, window: int) -> None:
    _, _, target_BHW = example(3)
    labels_BCHW = F.one_hot(target_BHW.clamp_max(C), C + 1).movedim(-1, 1).double()
    weights = gaussian(window, 1.5)
    wanted_BCHW = negative_scores(labels_BCHW, weights, 0.01)
    found_BCHW = negative_label_scores(labels_BCHW.clone(), weights, 0.01)
    assert torch.allclose(found_BCHW, wanted_BCHW, rtol=1e-9, atol=1e-12)


def test_ssl_is_zero_where_the_prediction_is_the_label(example: Example) -> None:
    _, _, target_BHW = example(ignored=0.0)
    logits_BCHW = 100 * F.one_hot(target_BHW, C).movedim(-1, 1).float()
    assert Ssl()(logits_BCHW, target_BHW).item() == 0


def test_flat_windows_do_not_count_however_wrong() -> None:
    """So that cross-entropy is indispensable beside it."""
    target_BHW = torch.zeros(1, 8, 8, dtype=torch.long)
    logits_BCHW = torch.tensor([-5.0, 5.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 8, 8).requires_grad_()
    found = Ssl()(logits_BCHW, target_BHW)
    found.backward()
    assert found.item() == 0
    assert torch.equal(logits_BCHW.grad, torch.zeros_like(logits_BCHW))


@pytest.mark.parametrize("change", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2)])
def test_ssl_does_not_see_flips_and_transposition(example: Example, change: Callable[[Tensor], Tensor]) -> None:
    logits_BCHW, _, target_BHW = example(4)
    found = Ssl()(change(logits_BCHW).contiguous(), change(target_BHW).contiguous())
    assert found.item() == pytest.approx(Ssl()(logits_BCHW, target_BHW).item(), rel=1e-9)


def test_a_window_with_an_ignored_pixel_does_not_count(example: Example) -> None:
    logits_BCHW, _, target_BHW = example(5, ignored=0.0)
    target_BHW = target_BHW.clone()
    target_BHW[:, 2, 3] = 255
    logits_BCHW.requires_grad_()
    Ssl()(logits_BCHW, target_BHW).backward()
    assert (logits_BCHW.grad[:, :, 1:4, 2:5] == 0).all()
    assert (logits_BCHW.grad[:, :, 4:] != 0).any()


def binary_cross_entropy(scores: list[float], label: int, c: int) -> tuple[float, list[float]]:
    """-log p or -log(1 - p) of class c, and its gradient with respect to the scores."""

    def log_sum(values: list[float]) -> float:
        """Shifted to the largest."""
        return max(values) + math.log(sum(math.exp(value - max(values)) for value in values))

    every = log_sum(scores)
    shares = [math.exp(value - every) for value in scores]
    if label == c:
        return every - scores[c], [share - (k == c) for k, share in enumerate(shares)]
    others = log_sum([value for k, value in enumerate(scores) if k != c])
    among = [0.0 if k == c else math.exp(value - others) for k, value in enumerate(scores)]
    return every - others, [share - other for share, other in zip(shares, among, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "scores",
    [
        [0.3, -0.2, 1.0, 0.1],
        [0.0, 0.0, 0.0, 0.0],
        [2.0, 2.0, -1e4, -1e4],
        [20.0, 0.0, -3.0, 1.0],
        [90.0, 0.0, -60.0, 1.0],
        [1e4, -1e4, -1e4, 0.0],
        [1e4, 1e4, 1e4, -1e4],
        [-1e4, -1e4, 1e4, 9990.0],
    ],
    ids=str,
)
def test_binary_cross_entropy_is_right_where_probabilities_round(scores: list[float], dtype: torch.dtype) -> None:
    weights = [0.5, 2.0, 1.25, 3.0]
    for label in range(4):
        wanted, wanted_gradient = 0.0, [0.0] * 4
        for c, weight in enumerate(weights):
            value, gradient = binary_cross_entropy(scores, label, c)
            wanted += weight * value
            wanted_gradient = [old + weight * new for old, new in zip(wanted_gradient, gradient, strict=True)]
        logits_BCN = torch.tensor(scores, dtype=dtype).view(1, 4, 1).requires_grad_()
        log_BCN = logits_BCN.log_softmax(1)
        slope_BCN = torch.empty_like(log_BCN)
        labels_BCN = torch.arange(4).view(1, 4, 1) == label
        weight_BCN = torch.tensor(weights, dtype=dtype).view(1, 4, 1)
        found = structural_cross_entropy(log_BCN.detach(), labels_BCN, weight_BCN, slope_BCN)
        log_BCN.backward(slope_BCN)
        # some roundings, of the scores too
        epsilon = torch.finfo(dtype).eps
        tolerance = (50 + 2 * max(map(abs, scores))) * epsilon
        assert found.item() == pytest.approx(wanted, rel=50 * epsilon, abs=tolerance)
        assert logits_BCN.grad.flatten().tolist() == pytest.approx(wanted_gradient, rel=0, abs=tolerance)


def test_its_gradient_is_that_of_its_value_with_the_weights_held(example: Example) -> None:
    logits_BCHW, _, target_BHW = example(6, ignored=0.0)
    weight_BCN = torch.rand(B, C, H * W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels_BCN = target_BHW.flatten(1).unsqueeze(1) == torch.arange(C).view(-1, 1)
    log_BCN = (2 * logits_BCHW).log_softmax(1).flatten(2)
    slope_BCN = torch.empty_like(log_BCN)
    structural_cross_entropy(log_BCN, labels_BCN, weight_BCN, slope_BCN)
    leaf_BCN = log_BCN.clone().requires_grad_()
    leaf_BCN.log_softmax(1).backward(slope_BCN)
    wanted_BCN = log_BCN.clone().requires_grad_()
    p_BCN = wanted_BCN.softmax(1)
    (-weight_BCN * torch.where(labels_BCN, p_BCN, 1 - p_BCN).log()).sum().backward()
    assert torch.allclose(leaf_BCN.grad, wanted_BCN.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 4}, r'loss "ssl\(window=4\)": window must be odd and at least 3'),
        ({"window": 1}, "window must be odd and at least 3"),
        ({"sigma": 0.0}, "sigma and c4 must be positive"),
        ({"c4": -0.01}, "sigma and c4 must be positive"),
        ({"beta": 1.0}, "beta from 0 to below 1"),
        ({"beta": float("nan")}, "beta from 0 to below 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Ssl(**options)  # type: ignore[arg-type]
