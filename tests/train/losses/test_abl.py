"""ABL against loops, in our form and in that of its release; distances to the labels' boundary."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import Abl, boundary_distance
from hardedge.train.losses.abl import predicted_boundary
from hardedge.train.losses.boundary import NO_BOUNDARY, official_boundary_distance

C = 4
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
Pixel = tuple[int, int]
# below, above, left, right, then the corners from the upper right: the release's order
AROUND = [(1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1)]


def blocky(seed: int, ignored: float = 0.05, size: int = 5) -> tuple[Tensor, Tensor]:
    """Two images of float64 logits and of 4 x 4 blocks of labels, cut off by a pixel."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, C, (2, 4, 4), generator=generator)
    target_BHW = blocks.repeat_interleave(size, 1).repeat_interleave(size + 1, 2)[:, :-1, :-1].contiguous()
    height, width = target_BHW.shape[1:]
    logits_BCHW = 2 * torch.randn(2, C, height, width, generator=generator, dtype=torch.float64)
    return logits_BCHW, target_BHW.masked_fill(torch.rand(target_BHW.shape, generator=generator) < ignored, 255)


def divergence(p_C: Tensor, q_C: Tensor) -> Tensor:
    return (p_C * (p_C.log() - q_C.log())).sum()


class Picture:
    """One image, pixel by pixel."""

    def __init__(self, logits_CHW: Tensor, target_HW: Tensor, official: bool) -> None:
        self.probabilities_CHW = logits_CHW.softmax(0)
        self.target_HW = target_HW
        self.official = official
        self.height, self.width = target_HW.shape
        self.pixels = list(itertools.product(range(self.height), range(self.width)))

    def exists(self, pixel: Pixel) -> bool:
        inside = 0 <= pixel[0] < self.height and 0 <= pixel[1] < self.width
        return inside and (self.official or self.target_HW[pixel].item() != 255)

    def at(self, pixel: Pixel) -> Tensor:
        row, column = min(max(pixel[0], 0), self.height - 1), min(max(pixel[1], 0), self.width - 1)
        return self.probabilities_CHW[:, row, column]

    def neighbours(self, pixel: Pixel) -> list[Pixel]:
        return [(pixel[0] + down, pixel[1] + right) for down, right in AROUND]

    def change(self, pixel: Pixel) -> float:
        """KL to the right plus KL to the pixel below."""
        others = [(pixel[0], pixel[1] + 1), (pixel[0] + 1, pixel[1])]
        here = self.at(pixel)
        return sum(divergence(here, self.at(b)).item() for b in others if self.exists(pixel) and self.exists(b))

    def widened(self, chosen: list[Pixel]) -> set[Pixel]:
        reached = {b for pixel in chosen for b in [pixel, *self.neighbours(pixel)]}
        return {pixel for pixel in reached if self.exists(pixel)}

    def distance(self, pixel: Pixel, boundary: list[Pixel]) -> float:
        """Its own; of a pixel that does not exist, infinite."""
        if not self.exists(pixel):
            return 1e5 if self.official else math.inf
        exact = min(math.dist(pixel, other) for other in boundary)
        return max(math.trunc(exact - 1), 0) if self.official else exact

    def boundary(self) -> list[Pixel]:
        """Of the labels."""
        found = []
        for pixel in self.pixels:
            label = self.target_HW[pixel].item()
            others = [(pixel[0], pixel[1] + 1), (pixel[0] + 1, pixel[1])]
            differs = any(self.exists(b) and self.target_HW[b].item() != label for b in others)
            if (differs and self.exists(pixel)) or (self.official and label == 255):
                found.append(pixel)
        return found

    def terms(self, chosen: set[Pixel], smoothing: float, furthest: float) -> list[Tensor]:
        """Of each predicted boundary pixel that should move, its weighted cross-entropy."""
        boundary, terms = self.boundary(), []
        for pixel in sorted(chosen) if boundary else []:
            around = self.neighbours(pixel)
            distances = [self.distance(b, boundary) for b in around]
            own = self.distance(pixel, boundary)
            if own < min(distances):
                continue
            wanted = around[distances.index(min(distances))]
            there = [b for b in around if self.official or self.exists(b)]
            scores = torch.stack([divergence(self.at(b).detach(), self.at(pixel)) for b in there])
            shares = scores - scores.exp().sum().log()
            other = 0.025 if self.official else smoothing / max(len(there) - 1, 1)
            targets = [(0.8 if self.official else 1 - smoothing) if b == wanted else other for b in there]
            loss = -sum(share * target for share, target in zip(shares, targets, strict=True))
            terms.append(loss * min(own, furthest) / furthest)
        return terms


def ours_by_loops(
    logits_BCHW: Tensor, target_BHW: Tensor, budget: float, smoothing: float = 0.2, furthest: float = 20.0
) -> Tensor:
    terms = []
    for logits_CHW, target_HW in zip(logits_BCHW, target_BHW, strict=True):
        picture = Picture(logits_CHW, target_HW, official=False)
        known = [pixel for pixel in picture.pixels if picture.exists(pixel)]
        largest = sorted(known, key=picture.change, reverse=True)[: max(math.floor(budget * len(known)), 1)]
        chosen = [pixel for pixel in largest if picture.change(pixel) > 1e-5]
        terms += picture.terms(picture.widened(chosen), smoothing, furthest)
    return torch.stack(terms).mean()


def official_by_loops(logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
    pictures = [Picture(*pair, official=True) for pair in zip(logits_BCHW, target_BHW, strict=True)]
    changes = [{pixel: picture.change(pixel) for pixel in picture.pixels} for picture in pictures]
    threshold = 1e-5
    while sum(change > threshold for each in changes for change in each.values()) > 0.01 * target_BHW[0].numel():
        threshold *= 1.2
    terms = []
    for picture, each in zip(pictures, changes, strict=True):
        chosen = [pixel for pixel, change in each.items() if change > threshold]
        terms += picture.terms(picture.widened(chosen), 0.2, 20.0)
    return torch.stack(terms).mean()


def value_and_gradient(loss: Callable[[Tensor], Tensor], logits_BCHW: Tensor) -> tuple[float, Tensor]:
    leaf_BCHW = logits_BCHW.clone().requires_grad_()
    found = loss(leaf_BCHW)
    found.backward()
    return found.item(), leaf_BCHW.grad


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("ignored", "options"),
    [
        (0.0, {"budget": 0.02}),
        (0.05, {"budget": 0.05}),
        (0.4, {"budget": 0.3, "smoothing": 0.5, "max_distance": 1.5}),
        (0.1, {"budget": 0.001, "smoothing": 0.0}),
    ],
)
def test_abl_is_its_formula(seed: int, ignored: float, options: dict[str, float]) -> None:
    logits_BCHW, target_BHW = blocky(seed, ignored)
    loss = Abl(**options)  # type: ignore[arg-type]
    words = {"furthest" if name == "max_distance" else name: value for name, value in options.items()}
    found, gradient_BCHW = value_and_gradient(lambda x: loss(x, target_BHW), logits_BCHW)
    wanted, wanted_BCHW = value_and_gradient(lambda x: ours_by_loops(x, target_BHW, **words), logits_BCHW)
    assert wanted > 0
    # distances are float32
    assert found == pytest.approx(wanted, rel=1e-6)
    assert torch.allclose(gradient_BCHW, wanted_BCHW, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("ignored", [0.0, 0.003])
def test_official_abl_is_that_of_the_release(seed: int, ignored: float) -> None:
    logits_BCHW, target_BHW = blocky(seed, ignored, size=11)
    loss = Abl(official=True)
    found, gradient_BCHW = value_and_gradient(lambda x: loss(x, target_BHW), logits_BCHW)
    wanted, wanted_BCHW = value_and_gradient(lambda x: official_by_loops(x, target_BHW), logits_BCHW)
    assert wanted > 0.01
    assert found == pytest.approx(wanted, rel=1e-6)
    assert torch.allclose(gradient_BCHW, wanted_BCHW, rtol=1e-6, atol=1e-12)


def test_given_distances_are_those_computed_inside() -> None:
    logits_BCHW, target_BHW = blocky(3)
    distance_BHW = torch.stack([torch.from_numpy(boundary_distance(target_HW.numpy())) for target_HW in target_BHW])
    loss = Abl(budget=0.05)
    assert torch.equal(loss(logits_BCHW, target_BHW, distance=distance_BHW), loss(logits_BCHW, target_BHW))
    assert not torch.equal(loss(logits_BCHW, target_BHW, distance=distance_BHW + 1), loss(logits_BCHW, target_BHW))


@pytest.mark.parametrize("official", [False, True])
def test_an_image_without_a_boundary_gives_nothing(official: bool) -> None:
    logits_BCHW, target_BHW = blocky(4, 0.0)
    loss = Abl(official=True) if official else Abl(budget=0.05)
    value, gradient_BCHW = value_and_gradient(lambda x: loss(x, target_BHW.fill_(2)), logits_BCHW)
    assert value == 0
    assert torch.equal(gradient_BCHW, torch.zeros_like(gradient_BCHW))


def test_an_image_without_a_boundary_leaves_the_others_theirs() -> None:
    logits_BCHW, target_BHW = blocky(4, 0.0)
    alone = Abl()(logits_BCHW[:1], target_BHW[:1])
    target_BHW[1] = 0
    assert Abl()(logits_BCHW, target_BHW).item() == pytest.approx(alone.item(), rel=1e-12)


@pytest.mark.parametrize("official", [False, True])
def test_a_flat_prediction_has_no_boundary(official: bool) -> None:
    _, target_BHW = blocky(5)
    logits_BCHW = torch.tensor([3.0, 0.1, -7.0, 1.0]).view(1, C, 1, 1).expand(2, C, *target_BHW.shape[1:])
    value, gradient_BCHW = value_and_gradient(lambda x: Abl(official=official)(x, target_BHW), logits_BCHW)
    assert value == 0
    assert torch.equal(gradient_BCHW, torch.zeros_like(gradient_BCHW))


def test_a_prediction_whose_boundary_is_the_labels_costs_least() -> None:
    target_BHW = torch.zeros(1, 24, 48, dtype=torch.long)
    target_BHW[:, :, 20:] = 1

    def at_column(column: int) -> float:
        moved_BHW = torch.zeros_like(target_BHW)
        moved_BHW[:, :, column:] = 1
        logits_BCHW = 6 * torch.nn.functional.one_hot(moved_BHW, 2).movedim(-1, 1).float()
        return Abl(budget=0.02)(logits_BCHW, target_BHW).item()

    costs = [at_column(column) for column in (20, 22, 25, 30, 38)]
    assert costs == sorted(costs)
    assert costs[0] < 0.25 * costs[2]


def test_steps_against_the_gradient_move_the_predicted_boundary_to_the_labels() -> None:
    target_BHW = torch.zeros(1, 16, 40, dtype=torch.long)
    target_BHW[:, :, 14:] = 1
    slope_W = (torch.arange(40.0) - 20).clamp(-6, 6)
    logits_BCHW = torch.stack((-slope_W, slope_W)).view(1, 2, 1, 40).repeat(1, 1, 16, 1).requires_grad_()
    optimiser = torch.optim.Adam([logits_BCHW], lr=0.3)
    for _ in range(100):
        optimiser.zero_grad()
        Abl(budget=0.025)(logits_BCHW, target_BHW).backward()
        optimiser.step()
    assert torch.equal(logits_BCHW.argmax(1), target_BHW)


@pytest.mark.parametrize("budget", [0.01, 0.1, 1.0])
def test_each_image_has_its_budget_and_each_pixel_counts_once(budget: float) -> None:
    generator = torch.Generator().manual_seed(0)
    divergence_BHW = torch.rand(2, 20, 30, generator=generator)
    known_BHW = torch.rand(2, 20, 30, generator=generator) < torch.tensor([0.9, 0.5]).view(2, 1, 1)
    divergence_BHW = divergence_BHW.where(known_BHW, 0)
    place_BK, counted_BK = predicted_boundary(divergence_BHW, known_BHW, budget)
    for divergence_HW, known_HW, place_K, counted_K in zip(
        divergence_BHW, known_BHW, place_BK, counted_BK, strict=True
    ):
        most = math.floor(budget * known_HW.sum().item())
        chosen = divergence_HW.flatten().argsort(descending=True)[:most].tolist()
        rows_columns = [divmod(place, 30) for place in chosen]
        wanted = {
            (row + down, column + right)
            for row, column in rows_columns
            for down, right in [(0, 0), *AROUND]
            if 0 <= row + down < 20 and 0 <= column + right < 30 and known_HW[row + down, column + right]
        }
        found = [divmod(place, 30) for place in place_K[counted_K].tolist()]
        assert len(found) == len(set(found))
        assert set(found) == wanted


@pytest.mark.parametrize("ignored", [0.0, 0.1])
def test_distances_are_those_to_the_nearest_boundary_pixel(ignored: float) -> None:
    logits_BCHW, target_BHW = blocky(6, ignored)
    for official, measure in ((False, boundary_distance), (True, official_boundary_distance)):
        picture = Picture(logits_BCHW[0], target_BHW[0], official)
        found_HW = measure(target_BHW[0].numpy().astype(np.uint8), 255)
        wanted = []
        boundary = picture.boundary()
        for pixel in picture.pixels:
            exact = min(math.dist(pixel, other) for other in boundary)
            wanted.append(max(math.trunc(exact - 1), 0) if official else exact)
        assert found_HW.dtype == np.float32
        assert found_HW.ravel().tolist() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("label", [3, 255])
def test_distances_without_a_boundary_are_large_and_finite(label: int) -> None:
    target_HW = np.full((5, 6), label, np.uint8)
    assert (boundary_distance(target_HW, 255) == NO_BOUNDARY).all()


def test_ignored_pixels_make_no_boundary() -> None:
    target_HW = np.zeros((5, 6), np.uint8)
    target_HW[2:4, 1:5] = 255
    assert (boundary_distance(target_HW, 255) == NO_BOUNDARY).all()
    assert boundary_distance(target_HW, 254).min() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_official_abl_is_finite_for_large_logits_and_without_labels(dtype: torch.dtype) -> None:
    logits_BCHW, target_BHW = blocky(7)
    loss = Abl(official=True)
    large_BCHW = 1e4 * logits_BCHW.sign()
    value, gradient_BCHW = value_and_gradient(lambda x: loss(x, target_BHW), large_BCHW.to(dtype))
    assert math.isfinite(value)
    assert gradient_BCHW.isfinite().all()
    value, gradient_BCHW = value_and_gradient(lambda x: loss(x, torch.full_like(target_BHW, 255)), logits_BCHW)
    assert value == 0
    assert torch.equal(gradient_BCHW, torch.zeros_like(gradient_BCHW))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0.0}, "budget must be above 0 and at most 1"),
        ({"budget": 1.5}, "budget must be above 0 and at most 1"),
        ({"max_distance": 0.0}, "max_distance positive"),
        ({"smoothing": 1.0}, "smoothing from 0 to below 1"),
        ({"smoothing": float("nan")}, "smoothing from 0 to below 1"),
        ({"official": True, "budget": 0.02}, "official fixes budget, max_distance and smoothing"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Abl(**options)  # type: ignore[arg-type]
