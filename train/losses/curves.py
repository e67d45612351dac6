"""Monotone curves from (0, 0) to (1, 1), made of quadratic Bézier pieces; what auto seg-loss replaces AND and OR by."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Point = tuple[float, float]
FLAT = 1e-6  # the least speed dx/dt that a slope is divided by: a vertical tangent has none
NEVER_ZERO = 1e-30


def curve_points(numbers: Sequence[float]) -> list[Point]:
    """The curve's points, ends included, from x and y of the free ones: control, joint, control, ..., control."""
    free = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [(0.0, 0.0), *free, (1.0, 1.0)]


def curve_pieces(numbers: Sequence[float]) -> list[tuple[Point, Point, Point]]:
    """Start, control and end of each quadratic piece."""
    points = curve_points(numbers)
    return [(points[index], points[index + 1], points[index + 2]) for index in range(0, len(points) - 1, 2)]


def curve_fault(numbers: Sequence[float]) -> str | None:
    """Why these numbers are no curve, or None."""
    if len(numbers) % 4 != 2:
        return f"{len(numbers)} numbers are no control points of quadratic pieces"
    points = curve_points(numbers)
    if not all(left[0] <= right[0] and left[1] <= right[1] for left, right in pairwise(points)):
        return "its control points must not descend, and lie between (0, 0) and (1, 1)"
    if not all(left[0] < right[0] for left, right in pairwise(points[::2])):
        return "its joints must lie apart, and between 0 and 1"
    return None


def curve(x: Tensor, numbers: Sequence[float]) -> Tensor:
    """The curve's height at each x in [0, 1], differentiable in x."""
    height: Tensor = _Curve.apply(x, tuple(numbers))
    return height


class _Curve(torch.autograd.Function):
    """Height and slope in one evaluation, and one map kept: autograd would keep a dozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, numbers: tuple[float, ...]) -> Tensor:
        height, slope = height_and_slope(x, numbers)
        ctx.save_for_backward(slope)
        return height

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None


def height_and_slope(x: Tensor, numbers: Sequence[float]) -> tuple[Tensor, Tensor]:
    """y and dy/dx of the curve at each x in [0, 1]; at a joint the slope of the piece before it."""
    first, *others = (_piece(x, points) for points in curve_pieces(numbers))
    height, slope = first.half_t.mul_(first.secant), first.slope
    for piece in others:
        height.addcmul_(piece.half_t, piece.secant)
        slope = torch.where(x > piece.start, piece.slope, slope)
    return height, slope


def summed_height_and_slope(x: Tensor, numbers: Sequence[float]) -> tuple[Tensor, Tensor]:
    """As height_and_slope, with the heights summed over the last two dimensions, and never written."""
    first, *others = curve_pieces(numbers)
    piece = _piece(x, first)
    total, slope = _dot(piece.half_t, piece.secant), piece.slope
    for points in others:
        if x.is_cuda or torch.compiler.is_compiling():
            piece = _piece(x, points)
            total = total + _dot(piece.half_t, piece.secant)
            slope = torch.where(x > piece.start, piece.slope, slope)
        else:
            _add_piece(total.view(-1), slope.view(-1), x.reshape(-1), points)
    return total, slope


def _add_piece(total_M: Tensor, slope_N: Tensor, x_N: Tensor, points: tuple[Point, Point, Point]) -> None:
    """Adds a later piece where there is any of it: few probabilities are as large. A GPU would wait for the host."""
    index_K = (x_N > points[0][0]).nonzero().squeeze(1)
    piece = _piece(x_N[index_K], points)
    slope_N[index_K] = piece.slope
    total_M.index_add_(0, index_K // (len(x_N) // len(total_M)), piece.half_t * piece.secant)


@dataclass(frozen=True)
class _Piece:
    """One piece at each x, which before its start and after its end is as at them.

    It has risen by half_t * secant since its start.
    """

    start: float
    half_t: Tensor
    secant: Tensor
    slope: Tensor


def _piece(x: Tensor, points: tuple[Point, Point, Point]) -> _Piece:
    """Evaluates a piece.

    x(t) - x0 = b t + a t^2 has the root t = 2 (x - x0) / (b + v), with the speed v = dx/dt = sqrt(b^2 + 4 a (x - x0)):
    a sum of what is not negative, so that nothing cancels and a = 0 needs no case of its own.
    """
    (x0, y0), (x1, y1), (x2, y2) = points
    a, b = x0 - 2 * x1 + x2, 2 * (x1 - x0)
    rise_a, rise_b = y0 - 2 * y1 + y2, 2 * (y1 - y0)
    distance = x.clamp(x0, x2)
    if x0:
        distance.sub_(x0)
    # rsub: number - alpha * tensor in one pass
    speed = torch.rsub(distance, b * b, alpha=-4 * a)
    nearly_flat = min(x1 - x0, x2 - x1) < 1e-2
    if nearly_flat:
        speed.clamp_min_(0)
    speed.sqrt_()
    half_t = distance.div_(speed + (b + NEVER_ZERO))
    if nearly_flat:
        speed.clamp_min_(FLAT)
    secant = torch.rsub(half_t, 2 * rise_b, alpha=-4 * rise_a)
    return _Piece(x0, half_t, secant, (secant - rise_b).div_(speed))


def _dot(left: Tensor, right: Tensor) -> Tensor:
    with torch.autocast(left.device.type, enabled=False):
        product: Tensor = torch.linalg.vecdot(left.flatten(-2), right.flatten(-2))
    return product
