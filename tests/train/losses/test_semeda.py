"""SEMEDA against loops, and its network left alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.edge_network import EdgeNetwork
from hardedge.train.losses import Semeda, semeda

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]


@pytest.fixture
def edge_network() -> EdgeNetwork:
    """Untrained, in float64, frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EdgeNetwork(C).double().eval().requires_grad_(False)


def convolved(maps_CHW: Tensor, weight_DC33: Tensor, bias_D: Tensor) -> Tensor:
    """A 3x3 convolution with zeros around, then ReLU, by its definition."""
    out_DHW = torch.zeros(len(weight_DC33), *maps_CHW.shape[1:], dtype=torch.float64)
    for i in range(H):
        for j in range(W):
            out_DHW[:, i, j] = bias_D
            for k in range(max(i - 1, 0), min(i + 2, H)):
                for m in range(max(j - 1, 0), min(j + 2, W)):
                    out_DHW[:, i, j] += weight_DC33[:, :, k - i + 1, m - j + 1] @ maps_CHW[:, k, m]
    return out_DHW.clamp_min(0)


def test_semeda_is_the_mean_squared_distance_of_features(
    example: Example, labelled: Labelled, edge_network: EdgeNetwork
) -> None:
    logits_BCHW, _, target_BHW = example()
    pixels = labelled(target_BHW)
    per_layer = {2: 0.0, 3: 0.0}
    for b in range(B):
        found_CHW, true_CHW = torch.zeros(2, C, H, W, dtype=torch.float64)
        for image, i, j in pixels:
            if image == b:
                found_CHW[:, i, j] = logits_BCHW[b, :, i, j].softmax(0)
                true_CHW[target_BHW[b, i, j], i, j] = 1
        for layer in (1, 2, 3):
            convolution = edge_network.convolutions[layer - 1]
            found_CHW, true_CHW = (
                convolved(maps_CHW, convolution.weight, convolution.bias) for maps_CHW in (found_CHW, true_CHW)
            )
            if layer > 1:
                squares_HW = (found_CHW - true_CHW).square().mean(0)
                per_layer[layer] += sum(squares_HW[i, j].item() for image, i, j in pixels if image == b) / len(pixels)
    found = Semeda(first=2, last=3)(logits_BCHW, target_BHW, edge_network=edge_network)
    assert found.item() == pytest.approx(sum(per_layer.values()) / 2, rel=1e-10)


def test_semeda_is_zero_where_the_prediction_is_the_label(example: Example, edge_network: EdgeNetwork) -> None:
    _, _, target_BHW = example()
    logits_BCHW = 1e4 * F.one_hot(target_BHW.clamp_max(C - 1), C).movedim(-1, 1).double()
    assert Semeda()(logits_BCHW, target_BHW, edge_network=edge_network).item() == 0


@pytest.mark.parametrize("band", [1, 2, 5, 20])
def test_bands_of_an_image_give_what_the_image_gives(
    edge_network: EdgeNetwork, monkeypatch: pytest.MonkeyPatch, band: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BCHW = torch.randn(2, C, 20, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    target_BHW = torch.randint(0, C, (2, 20, 9), generator=generator)
    target_BHW[:, 3:5] = 255
    results = []
    for rows in (64, band):
        monkeypatch.setattr(semeda, "BAND", rows)
        loss = Semeda()(logits_BCHW, target_BHW, edge_network=edge_network)
        results.append((loss, *torch.autograd.grad(loss, logits_BCHW)))
    # float64, summed in another order
    for whole, banded in zip(*results, strict=True):
        torch.testing.assert_close(banded, whole, rtol=1e-9, atol=1e-15)


def test_without_a_gradient_the_value_is_the_same(example: Example, edge_network: EdgeNetwork) -> None:
    logits_BCHW, _, target_BHW = example()
    with torch.no_grad():
        found = Semeda()(logits_BCHW, target_BHW, edge_network=edge_network)
    assert found.item() == Semeda()(logits_BCHW.requires_grad_(), target_BHW, edge_network=edge_network).item()


@pytest.mark.parametrize(("first", "last"), [(0, 3), (3, 2)])
def test_layers_that_mean_nothing_are_refused(first: int, last: int) -> None:
    with pytest.raises(BadInput, match="layers count from 1, and first is at most last"):
        Semeda(first=first, last=last)


def test_a_network_of_fewer_layers_is_refused(example: Example, edge_network: EdgeNetwork) -> None:
    logits_BCHW, _, target_BHW = example()
    with pytest.raises(BadInput, match="semeda's last layer is 9, but the edge network has 8"):
        Semeda(last=9)(logits_BCHW, target_BHW, edge_network=edge_network)
