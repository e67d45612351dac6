"""PIDNet's losses and STDC's detail loss against loops in float64, and their targets against small label maps."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import Boundary, BoundaryOhem, Detail, Ohem
from hardedge.train.losses.boundary_bands import boundary_band, detail_of, official_detail_of

Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Labelled = Callable[[Tensor], list[tuple[int, int, int]]]
IGNORED = 255


def near(target_BHW: Tensor, pixel: tuple[int, int, int], radius: int) -> bool:
    """Whether another class is that near, by loops."""
    image, row, column = pixel
    rows, columns = target_BHW.shape[1:]
    around = [
        int(target_BHW[image, i, j])
        for i in range(max(0, row - radius), min(rows, row + radius + 1))
        for j in range(max(0, column - radius), min(columns, column + radius + 1))
    ]
    return any(other not in (IGNORED, int(target_BHW[pixel])) for other in around)


def entropy(logit: float, true: bool) -> float:
    return math.log1p(math.exp(-logit)) if true else math.log1p(math.exp(logit))


@pytest.mark.parametrize("radius", [1, 2])
def test_a_band_is_where_another_class_is_near(example: Example, labelled: Labelled, radius: int) -> None:
    target_BHW = example()[2]
    band_BHW = boundary_band(target_BHW, radius, IGNORED)
    expected = {pixel for pixel in labelled(target_BHW) if near(target_BHW, pixel, radius)}
    assert {tuple(pixel) for pixel in band_BHW.nonzero().tolist()} == expected
    assert expected != set(labelled(target_BHW))


def test_a_straight_boundary_has_the_radius_on_either_side() -> None:
    target_BHW = torch.zeros(1, 6, 12, dtype=torch.long)
    target_BHW[..., 6:] = 7
    assert boundary_band(target_BHW, 2, IGNORED)[0, 0].tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_an_ignored_region_is_no_class() -> None:
    target_BHW = torch.zeros(1, 6, 12, dtype=torch.long)
    target_BHW[..., 6:] = IGNORED
    assert not boundary_band(target_BHW, 2, IGNORED).any()


@pytest.mark.parametrize("radius", [1, 2])
def test_the_boundary_loss_weighs_boundary_and_rest_alike(example: Example, labelled: Labelled, radius: int) -> None:
    logits_BCHW, boundary_B1HW, target_BHW = example()
    pixels = labelled(target_BHW)
    true = {pixel: near(target_BHW, pixel, radius) for pixel in pixels}
    count = sum(true.values())
    total = 0.0
    for pixel in pixels:
        weight = (len(pixels) - count if true[pixel] else count) / len(pixels)
        total += weight * entropy(float(boundary_B1HW[pixel[0], 0, pixel[1], pixel[2]]), true[pixel])
    found = Boundary(radius=radius)(logits_BCHW, target_BHW, boundary=boundary_B1HW)
    assert found.item() == pytest.approx(total / len(pixels), rel=1e-12)


def test_the_boundary_loss_is_low_for_a_head_that_is_right(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    right_B1HW = 20.0 * (2 * boundary_band(target_BHW, 2, IGNORED)[:, None].double() - 1)
    assert Boundary()(logits_BCHW, target_BHW, boundary=right_B1HW) < 1e-6
    assert Boundary()(logits_BCHW, target_BHW, boundary=-right_B1HW) > 1


@pytest.mark.parametrize("sure", [0.3, 0.8])
def test_boundary_ohem_is_ohem_where_the_head_is_sure(example: Example, sure: float) -> None:
    logits_BCHW, boundary_B1HW, target_BHW = example()
    boundary_B1HW = 3 * boundary_B1HW
    term = BoundaryOhem(sure=sure, threshold=0.6, min_kept=0.1)
    there_BHW = target_BHW.clone()
    for image, row, column in (target_BHW >= 0).nonzero().tolist():
        if 1 / (1 + math.exp(-float(boundary_B1HW[image, 0, row, column]))) <= sure:
            there_BHW[image, row, column] = IGNORED
    assert (there_BHW != IGNORED).any()
    expected = Ohem(threshold=0.6, min_kept=0.1)(logits_BCHW, there_BHW)
    found = term(logits_BCHW.requires_grad_(), target_BHW, boundary=boundary_B1HW.requires_grad_())
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    found.backward()
    assert boundary_B1HW.grad is None


def test_boundary_ohem_is_zero_where_no_boundary_is_found(example: Example) -> None:
    logits_BCHW, boundary_B1HW, target_BHW = example()
    assert BoundaryOhem()(logits_BCHW, target_BHW, boundary=boundary_B1HW - 100) == 0


def detail_by_loops(target_BHW: Tensor) -> set[tuple[int, int, int]]:
    """Where the Laplacian is positive at a pixel, or at the first one of its block of 2x2."""
    places = [(b, i, j) for b, i, j in (target_BHW >= 0).nonzero().tolist()]
    fine = {pixel: int(target_BHW[pixel]) != IGNORED and near(target_BHW, pixel, 1) for pixel in places}
    return {(b, i, j) for b, i, j in places if fine[b, i, j] or fine[b, i - i % 2, j - j % 2]}


def test_detail_is_where_the_laplacian_is_positive_at_two_scales(example: Example) -> None:
    target_BHW = example()[2]
    found_BHW = detail_of(target_BHW, IGNORED)
    assert {tuple(pixel) for pixel in found_BHW.nonzero().tolist()} == detail_by_loops(target_BHW)


def test_the_releases_detail_is_the_laplacian_of_the_class_indices(example: Example) -> None:
    """Three strides of one convolution, thresholded, and weighed 6, 3 and 1 against a threshold of 1, in integers."""
    target_BHW = example()[2]
    images, height, width = target_BHW.shape
    expected = torch.zeros_like(target_BHW, dtype=torch.bool)

    def positive(image: int, row: int, column: int) -> int:
        neighbours = [
            int(target_BHW[image, row + i, column + j]) if 0 <= row + i < height and 0 <= column + j < width else 0
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            if (i, j) != (0, 0)
        ]
        return int(8 * int(target_BHW[image, row, column]) - sum(neighbours) > 0)

    for b in range(images):
        for i in range(height):
            for j in range(width):
                scales = [positive(b, i - i % stride, j - j % stride) for stride in (1, 2, 4)]
                expected[b, i, j] = 6 * scales[0] + 3 * scales[1] + scales[2] > 1
    assert torch.equal(official_detail_of(target_BHW), expected)


@pytest.mark.parametrize("official", [False, True])
def test_the_detail_loss_is_cross_entropy_plus_dice(example: Example, labelled: Labelled, official: bool) -> None:
    logits_BCHW, detail_B1HW, target_BHW = example()
    every = [(b, i, j) for b, i, j in (target_BHW >= 0).nonzero().tolist()]
    pixels = every if official else labelled(target_BHW)
    found_BHW = official_detail_of(target_BHW)
    true = {pixel: bool(found_BHW[pixel]) if official else pixel in detail_by_loops(target_BHW) for pixel in pixels}
    logit = {pixel: float(detail_B1HW[pixel[0], 0, pixel[1], pixel[2]]) for pixel in pixels}
    entropies = [entropy(logit[pixel], true[pixel]) for pixel in pixels]
    dices = []
    for image in range(len(target_BHW)):
        own = [pixel for pixel in pixels if pixel[0] == image]
        share = {pixel: 1 / (1 + math.exp(-logit[pixel])) for pixel in own}
        both = sum(share[pixel] * true[pixel] for pixel in own)
        dices.append(1 - (2 * both + 1) / (sum(share.values()) + sum(true[pixel] for pixel in own) + 1))
    expected = sum(entropies) / len(pixels) + sum(dices) / len(dices)
    found = Detail(official=official)(logits_BCHW, target_BHW, detail=detail_B1HW)
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Boundary(radius=0), "radius must be 1 or more"),
        (lambda: BoundaryOhem(sure=1.0), "sure is a probability"),
        (lambda: BoundaryOhem(min_kept=2.0), "min_kept a share"),
    ],
)
def test_options_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()
