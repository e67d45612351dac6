"""ASL: each metric against loops, and where it differs from the release."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import Asl, parse_loss
from hardedge.train.losses.asl import PUBLISHED

B, C = 2, 4
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Pixel = tuple[int, int, int]
every_metric = pytest.mark.parametrize("metric", PUBLISHED)


@pytest.fixture
def scene() -> tuple[Tensor, Tensor]:
    """Float64 logits and labels with boundaries that 5 pixels about do not reach all of; a few ignored."""
    generator = torch.Generator().manual_seed(2)
    logits_BCHW = 2 * torch.randn(B, C, 20, 21, generator=generator, dtype=torch.float64)
    target_BHW = torch.zeros(B, 20, 21, dtype=torch.long)
    target_BHW[0, :4, :5] = 1
    target_BHW[0, 1:3, 7:] = 3
    target_BHW[1, :, 17:] = 1
    target_BHW[0, 3, 9:11] = target_BHW[1, 15:, 2] = 255
    return logits_BCHW, target_BHW


def height(x: float, numbers: tuple[float, ...]) -> float:
    """The curve at x: the time by bisection."""
    points = [(0.0, 0.0), *zip(numbers[::2], numbers[1::2], strict=True), (1.0, 1.0)]
    pieces = [points[k : k + 3] for k in range(0, len(points) - 1, 2)]
    piece = next(piece for piece in pieces if x <= piece[2][0])
    at = [
        lambda t, k=k: (1 - t) ** 2 * piece[0][k] + 2 * t * (1 - t) * piece[1][k] + t * t * piece[2][k] for k in (0, 1)
    ]
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at[0](middle) < x else (low, middle)
    return at[1](low)


def window(target_BHW: Tensor, pixel: Pixel, reach: int) -> Iterator[Pixel]:
    """The pixels at most so many rows and columns away."""
    b, i, j = pixel
    for k in range(max(i - reach, 0), min(i + reach + 1, target_BHW.shape[1])):
        for m in range(max(j - reach, 0), min(j + reach + 1, target_BHW.shape[2])):
            yield b, k, m


def every_pixel(target_BHW: Tensor) -> Iterator[Pixel]:
    return (
        (b, i, j)
        for b in range(len(target_BHW))
        for i in range(target_BHW.shape[1])
        for j in range(target_BHW.shape[2])
    )


def band(target_BHW: Tensor) -> set[Pixel]:
    """The pixels within 5 of one that has another class in its 3x3 window."""
    label = {pixel: int(target_BHW[pixel]) for pixel in every_pixel(target_BHW)}
    boundary = {
        pixel
        for pixel in label
        if label[pixel] != 255 and any(label[near] not in (255, label[pixel]) for near in window(target_BHW, pixel, 1))
    }
    return {pixel for pixel in label if any(near in boundary for near in window(target_BHW, pixel, 5))}


def region_metric(metric: str, probabilities_BCHW: Tensor, target_BHW: Tensor, pixels: list[Pixel]) -> float:
    """The metrics that are sums over pixels."""
    numbers = PUBLISHED[metric]
    first, second = numbers[:6], numbers[6:] or numbers
    scores, sizes, hits = [], [], []
    for c in range(C):
        hit = union = size = 0.0
        for b, i, j in pixels:
            probability, true = probabilities_BCHW[b, c, i, j].item(), float(target_BHW[b, i, j] == c)
            hit += height(probability, first) * true
            union += height(probability, second) * (1 - true) + true
            size += true
        if size:
            scores.append(hit / (size if metric in ("macc", "gacc") else union))
            sizes.append(size)
            hits.append(hit)
    if metric == "gacc":
        return sum(hits) / sum(sizes)
    weights = sizes if metric == "fwiou" else [1.0] * len(sizes)
    return sum(weight * score for weight, score in zip(weights, scores, strict=True)) / sum(weights)


@pytest.mark.parametrize("metric", ["miou", "fwiou", "macc", "gacc", "biou"])
def test_a_region_metrics_loss_is_one_less_the_metric(scene: tuple[Tensor, Tensor], metric: Any) -> None:
    logits_BCHW, target_BHW = scene
    pixels = [pixel for pixel in every_pixel(target_BHW) if target_BHW[pixel] != 255]
    if metric == "biou":
        everywhere, near = len(pixels), band(target_BHW)
        pixels = [pixel for pixel in pixels if pixel in near]
        assert len(pixels) < 0.8 * everywhere
    expected = 1 - region_metric(metric, logits_BCHW.softmax(1), target_BHW, pixels)
    assert Asl(metric)(logits_BCHW, target_BHW).item() == pytest.approx(expected, rel=1e-9)


def test_the_boundary_loss_is_one_less_the_boundary_f1(scene: tuple[Tensor, Tensor]) -> None:
    logits_BCHW, target_BHW = scene
    numbers = PUBLISHED["bf1"]
    one, two, three, four = (numbers[k : k + 2] for k in range(0, 8, 2))
    probabilities_BCHW = logits_BCHW.softmax(1)
    usable = [
        pixel
        for pixel in every_pixel(target_BHW)
        if all(target_BHW[near] != 255 for near in window(target_BHW, pixel, 1))
    ]
    scores = []
    for c in range(C):
        true = {
            p: float(target_BHW[p] == c and any(target_BHW[q] != c for q in window(target_BHW, p, 1))) for p in usable
        }
        found = {}
        for pixel in usable:
            here = probabilities_BCHW[pixel[0], c, pixel[1], pixel[2]].item()
            least = min(probabilities_BCHW[b, c, i, j].item() for b, i, j in window(target_BHW, pixel, 1))
            both = height(here, one) * height(least, two)
            either = height(here, three) + height(least, four) - height(here, three) * height(least, four)
            found[pixel] = either - both
        if not sum(true.values()):
            continue
        near = {p: [q for q in window(target_BHW, p, 5) if q in found] for p in usable}
        precision = sum(found[p] * max(true[q] for q in near[p]) for p in usable) / sum(found.values())
        recall = sum(true[p] * max(found[q] for q in near[p]) for p in usable) / sum(true.values())
        scores.append(2 * precision * recall / (precision + recall))
    assert len(scores) == 3
    # the loss has 1e-8 in its denominators
    assert Asl("bf1")(logits_BCHW, target_BHW).item() == pytest.approx(1 - sum(scores) / 3, rel=1e-6)


def test_curves_on_the_diagonal_give_the_soft_iou(example: Example) -> None:
    logits_BCHW, _, target_BHW = example()
    loss = Asl(curves=2 * (0.1, 0.1, 0.4, 0.4, 0.8, 0.8))
    valid_BHW = target_BHW != 255
    scores = []
    for c in range(C):
        probability_N = logits_BCHW.softmax(1)[:, c][valid_BHW]
        true_N = (target_BHW[valid_BHW] == c).double()
        hit = (probability_N * true_N).sum().item()
        scores.append(hit / (probability_N.sum().item() + true_N.sum().item() - hit))
    assert loss(logits_BCHW, target_BHW).item() == pytest.approx(1 - sum(scores) / C, rel=1e-12)


@every_metric
def test_a_perfect_prediction_costs_nothing(scene: tuple[Tensor, Tensor], metric: Any) -> None:
    _, target_BHW = scene
    logits_BCHW = 1e4 * F.one_hot(target_BHW.clamp_max(C - 1), C).movedim(-1, 1).double()
    # bf1 has 1e-8 in its denominators
    assert Asl(metric)(logits_BCHW, target_BHW).item() == pytest.approx(0, abs=1e-7)


@every_metric
def test_absent_classes_do_not_count(scene: tuple[Tensor, Tensor], metric: Any) -> None:
    logits_BCHW, target_BHW = scene
    more_BCHW = torch.cat((logits_BCHW, torch.full_like(logits_BCHW, -1e4)), 1)
    assert Asl(metric)(more_BCHW, target_BHW).item() == Asl(metric)(logits_BCHW, target_BHW).item()


@pytest.mark.parametrize("metric", ["bf1", "biou"])
def test_ignored_pixels_make_no_boundary(metric: Any) -> None:
    target_BHW = torch.ones(1, 12, 12, dtype=torch.long)
    target_BHW[:, 4:8, 4:8] = 255
    logits_BCHW = torch.randn(1, 3, 12, 12, requires_grad=True)
    loss = Asl(metric)(logits_BCHW, target_BHW)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits_BCHW.grad, torch.zeros_like(logits_BCHW))


def test_biou_sees_five_pixels_about_a_boundary_and_class_0() -> None:
    target_BHW = torch.zeros(1, 3, 24, dtype=torch.long)
    target_BHW[..., 12:] = 1  # boundary pixels are columns 11 and 12
    logits_BCHW = torch.randn(1, 2, 3, 24, requires_grad=True)
    Asl("biou")(logits_BCHW, target_BHW).backward()
    columns_W = logits_BCHW.grad.abs().amax((0, 1, 2))
    assert (columns_W > 0).tolist() == [6 <= column <= 17 for column in range(24)]


@every_metric
def test_other_curves_than_the_published_can_be_given(scene: tuple[Tensor, Tensor], metric: Any) -> None:
    published = PUBLISHED[metric]
    higher = tuple(number**0.5 if place % 2 else number for place, number in enumerate(published))
    found = Asl(metric)(*scene).item()
    assert Asl(metric, curves=published)(*scene).item() == found
    assert not math.isclose(Asl(metric, curves=higher)(*scene).item(), found, rel_tol=1e-3)
    assert parse_loss(f"asl(metric={metric}, curves={higher})") == 1.0 * Asl(metric, curves=higher)
    assert parse_loss(str(1.0 * Asl(metric, curves=higher))) == 1.0 * Asl(metric, curves=higher)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curves": (0.5, 0.5)}, "curves has 2 numbers, miou takes 12"),
        ({"metric": "macc", "curves": (0.5, 0.5, 0.4, 0.6, 0.7, 0.8)}, "curves: its control points must not descend"),
    ],
)
def test_numbers_that_are_no_curves_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Asl(**options)


def test_curves_in_text_must_be_numbers() -> None:
    with pytest.raises(BadInput, match=r"asl's curves must be numbers in brackets, got \(a, 1\)"):
        parse_loss("asl(curves=(a, 1))")
