"""Bézier curves by their heights against their own definition."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hardedge.train.losses.asl import PUBLISHED, Asl
from hardedge.train.losses.curves import curve, curve_fault, curve_pieces, height_and_slope, summed_height_and_slope

Numbers = tuple[float, ...]
EVERY = [numbers for metric in PUBLISHED for numbers in Asl(metric)._curves()]  # type: ignore[arg-type]
every_curve = pytest.mark.parametrize("numbers", EVERY, ids=str)


@st.composite
def curves(draw: st.DrawFn) -> Numbers:
    """Any curve of one to three pieces whose joints are apart."""
    count = draw(st.sampled_from([1, 3, 5]))
    columns = [sorted(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))) for _ in "xy"]
    numbers = tuple(number for point in zip(*columns, strict=True) for number in point)
    joints = [0.0, *columns[0][1::2], 1.0]
    return numbers if all(right - left > 1e-3 for left, right in pairwise(joints)) else EVERY[0]


def bezier(numbers: Numbers, t: float, piece: int) -> tuple[float, float, float, float]:
    """x, y, dx/dt and dy/dt at t in 0..1 of one piece, by the definition."""
    points = curve_pieces(numbers)[piece]
    place = [(1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c for a, b, c in zip(*points, strict=True)]
    speed = [2 * (1 - t) * (b - a) + 2 * t * (c - b) for a, b, c in zip(*points, strict=True)]
    return place[0], place[1], speed[0], speed[1]


@every_curve
def test_heights_and_slopes_are_those_of_the_definition(numbers: Numbers) -> None:
    for piece in range(len(curve_pieces(numbers))):
        for t in (0.0, 1e-4, 0.1, 0.5, 0.9, 0.999):
            x, y, dx, dy = bezier(numbers, t, piece)
            height, slope = height_and_slope(torch.tensor([x], dtype=torch.float64), numbers)
            assert height.item() == pytest.approx(y, rel=1e-9, abs=1e-12)
            if t:  # at t = 0 is a joint, whose slope is that of the piece before
                assert slope.item() == pytest.approx(dy / dx, rel=1e-7)


@given(curves(), st.integers(0, 2), st.floats(0, 1))
def test_any_curve_is_met_at_any_time(numbers: Numbers, piece: int, t: float) -> None:
    piece %= len(curve_pieces(numbers))
    x, y, _, _ = bezier(numbers, t, piece)
    below, at, above = curve(torch.tensor([x - 1e-9, x, x + 1e-9], dtype=torch.float64).clamp(0, 1), numbers).tolist()
    # where the tangent is vertical a rounded x has moved far along y
    assert below - 1e-6 <= y <= above + 1e-6
    assert below - 1e-12 <= at <= above + 1e-12


@given(curves())
def test_every_curve_ascends_from_0_to_1(numbers: Numbers) -> None:
    x_N = torch.linspace(0, 1, 1001, dtype=torch.float64)
    height_N, slope_N = height_and_slope(x_N, numbers)
    assert height_N[0].item() == 0
    # at a vertical tangent the root of a rounded 0 is up to 1e-8
    assert height_N[-1].item() == pytest.approx(1, abs=1e-7)
    assert (height_N.diff() >= -1e-9).all()
    assert slope_N.isfinite().all()
    assert (slope_N >= -1e-7).all()  # the difference of two roundings over a short piece


@pytest.mark.parametrize("numbers", [(0.3, 0.3), (0.2, 0.2, 0.5, 0.5, 0.6, 0.6), (0.25, 0.25, 0.5, 0.5, 0.75, 0.75)])
def test_points_on_the_diagonal_give_the_identity(numbers: Numbers) -> None:
    x_N = torch.linspace(0, 1, 101, dtype=torch.float64)
    height_N, slope_N = height_and_slope(x_N, numbers)
    torch.testing.assert_close(height_N, x_N, rtol=0, atol=1e-14)
    torch.testing.assert_close(slope_N, torch.ones_like(x_N), rtol=0, atol=1e-12)


@every_curve
def test_float32_loses_little(numbers: Numbers) -> None:
    x_N = torch.cat((torch.linspace(0, 1, 1001), torch.logspace(-30, 0, 1001)))
    for found, exact in zip(height_and_slope(x_N, numbers), height_and_slope(x_N.double(), numbers), strict=True):
        # the square of the speed is rounded relative to the largest: a hundred times smaller, it keeps three digits
        torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-6)


@every_curve
def test_the_gradient_is_the_slope(numbers: Numbers) -> None:
    inner_N = torch.linspace(0.0137, 0.9871, 50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: curve(x, numbers), (inner_N,))


@every_curve
def test_summed_heights_are_the_sums_of_the_heights(numbers: Numbers) -> None:
    x_BCHW = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    height_BCHW, slope_BCHW = height_and_slope(x_BCHW, numbers)
    summed_BC, again_BCHW = summed_height_and_slope(x_BCHW, numbers)
    torch.testing.assert_close(summed_BC, height_BCHW.sum((2, 3)), rtol=1e-12, atol=0)
    assert torch.equal(slope_BCHW, again_BCHW)


@pytest.mark.parametrize("numbers", [(0.0, 1.0), (1.0, 0.0), (0.0, 1.0, 0.5, 1.0, 1.0, 1.0)])
def test_vertical_and_flat_tangents_have_finite_gradients(numbers: Numbers) -> None:
    x: Tensor = torch.tensor([0.0, 1e-38, 1e-7, 0.5, 1.0], requires_grad=True)
    height = curve(x, numbers)
    height.sum().backward()
    assert height.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((0.5,) * 4, "4 numbers are no control points"),
        ((0.5, 0.5, 0.4, 0.6, 0.7, 0.8), "must not descend"),
        ((0.5, 1.1), "lie between"),
        ((float("nan"), 0.5), "must not descend"),
        ((0.0, 0.1, 0.0, 0.2, 0.5, 0.5), "joints must lie apart"),
        ((0.5, 0.1, 1.0, 0.2, 1.0, 0.5), "joints must lie apart"),
    ],
)
def test_what_is_no_curve_is_said(numbers: Numbers, fault: str) -> None:
    found = curve_fault(numbers)
    assert found is not None
    assert fault in found
