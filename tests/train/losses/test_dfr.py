"""DFR's energy against loops over pairs, and what it asks of pixels without a label."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import Dfr

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]


def energy(loss: Dfr, probabilities_BCHW: Tensor, image_BCHW: Tensor, features_BDHW: Tensor | None) -> float:
    """sum k_ij (1 - <p_i, p_j>) over the pairs of a window, by the number of pixels."""
    batch, _, height, width = probabilities_BCHW.shape
    pixels = [(i, j) for i in range(height) for j in range(width)]
    total = 0.0
    for b in range(batch):
        for i, j in pixels:
            for k, m in pixels:
                if (k, m) == (i, j) or max(abs(k - i), abs(m - j)) > loss.radius:
                    continue
                place = ((k - i) ** 2 + (m - j) ** 2) / loss.xy**2
                colour = (image_BCHW[b, :, i, j] - image_BCHW[b, :, k, m]).square().sum().item() / loss.rgb**2
                kernel = math.exp(-0.5 * place - 0.5 * colour)
                if features_BDHW is not None:
                    ends = [features_BDHW[b, :, i, j], features_BDHW[b, :, k, m]]
                    here, there = (end / end.norm() for end in ends)
                    kernel += loss.deep_weight * math.exp(-0.5 * (here - there).square().sum().item() / loss.deep**2)
                agreement = probabilities_BCHW[b, :, i, j] @ probabilities_BCHW[b, :, k, m]
                total += kernel * (1 - agreement.item())
    return total / (batch * height * width)


@pytest.fixture
def beside() -> tuple[Tensor, Tensor]:
    """An image whose colours are like enough to count, and features."""
    generator = torch.Generator().manual_seed(3)
    image_BCHW = 0.3 * torch.rand(B, 3, H, W, generator=generator, dtype=torch.float64)
    return image_BCHW, torch.randn(B, 5, H, W, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("loss", [Dfr(scale=1.0), Dfr(scale=1.0, radius=2, xy=2.0, rgb=0.3, deep=1.0, deep_weight=0.5)])
@pytest.mark.parametrize("deep", [False, True])
def test_dfr_is_the_energy_of_all_pairs(example: Example, beside: tuple[Tensor, Tensor], loss: Dfr, deep: bool) -> None:
    logits_BCHW, _, target_BHW = example()
    image_BCHW, features_BDHW = beside
    given = features_BDHW if deep else None
    found = loss(logits_BCHW, target_BHW, image=image_BCHW, features=given)
    assert found.item() == pytest.approx(energy(loss, logits_BCHW.softmax(1), image_BCHW, given), rel=1e-10)


def test_at_a_smaller_scale_probabilities_and_image_are_averaged(
    example: Example, beside: tuple[Tensor, Tensor]
) -> None:
    logits_BCHW, _, target_BHW = example()
    coarse = []
    for maps_BCHW in (logits_BCHW[..., :6].softmax(1), beside[0][..., :6]):
        cells = [
            [maps_BCHW[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((2, 3)) for j in range(3)] for i in range(3)
        ]
        coarse.append(torch.stack([torch.stack(row, -1) for row in cells], -2))
    found = Dfr(radius=2)(logits_BCHW[..., :6], target_BHW[..., :6], image=beside[0][..., :6])
    assert found.item() == pytest.approx(energy(Dfr(radius=2), *coarse, None), rel=1e-10)


def test_features_of_another_size_are_resized(example: Example, beside: tuple[Tensor, Tensor]) -> None:
    logits_BCHW, _, target_BHW = example()
    low_BDhw = beside[1][..., :3, :4]
    resized_BDHW = F.interpolate(low_BDhw, size=(H, W), mode="bilinear")
    loss = Dfr(scale=1.0)
    found = loss(logits_BCHW, target_BHW, image=beside[0], features=low_BDhw)
    assert found.item() == loss(logits_BCHW, target_BHW, image=beside[0], features=resized_BDHW).item()


def test_one_class_everywhere_has_no_energy(beside: tuple[Tensor, Tensor]) -> None:
    logits_BCHW = torch.zeros(B, C, H, W, dtype=torch.float64)
    logits_BCHW[:, 1] = 1e4
    found = Dfr()(logits_BCHW, torch.full((B, H, W), 255), image=beside[0], features=beside[1])
    assert found.item() == pytest.approx(0, abs=1e-12)


def test_a_boundary_along_a_change_of_colour_costs_less_than_one_across_an_even_area() -> None:
    image_BCHW = torch.zeros(1, 3, 12, 12)
    image_BCHW[..., 6:] = 1
    target_BHW = torch.full((1, 12, 12), 255)
    costs = []
    for column in (6, 3):
        logits_BCHW = torch.zeros(1, 2, 12, 12)
        logits_BCHW[:, 0, :, :column] = logits_BCHW[:, 1, :, column:] = 20
        costs.append(Dfr(scale=1.0)(logits_BCHW, target_BHW, image=image_BCHW).item())
    assert costs[0] < 1e-3 < 1 < costs[1]


def test_labels_are_not_read_and_features_get_no_gradient(example: Example, beside: tuple[Tensor, Tensor]) -> None:
    logits_BCHW, _, target_BHW = example()
    features_BDHW = beside[1].requires_grad_()
    logits_BCHW.requires_grad_()
    found = Dfr()(logits_BCHW, target_BHW, image=beside[0], features=features_BDHW)
    unlabelled = Dfr()(logits_BCHW, torch.full_like(target_BHW, 255), image=beside[0], features=features_BDHW)
    unlabelled.backward()
    assert found.item() == unlabelled.item()
    assert features_BDHW.grad is None
    assert (logits_BCHW.grad.abs().amax(1) > 0).all()


@pytest.mark.parametrize(
    "options",
    [{"radius": 0}, {"xy": 0.0}, {"rgb": -1.0}, {"deep": 0.0}, {"deep_weight": -1.0}, {"scale": 0.0}, {"scale": 1.5}],
)
def test_numbers_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match='loss "dfr'):
        Dfr(**options)
