"""The sums that auto seg-loss makes its metrics of: intersections and unions, and what is near a boundary."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hardedge.train.losses.curves import curve, height_and_slope, summed_height_and_slope

Numbers = tuple[float, ...]


def intersection_and_union(
    probabilities_BCHW: Tensor, target_BHW: Tensor, valid_BHW: Tensor, intersection: Numbers, union: Numbers
) -> Tensor:
    """Of each class: sum h1(p) y, sum (h2(p) + y - h2(p) y), and its pixels; float64 [3, C], over valid pixels.

    h1 is the curve `intersection`, h2 `union`.
    """
    sums_3C: Tensor = _IntersectionAndUnion.apply(probabilities_BCHW, target_BHW, valid_BHW, intersection, union)
    return sums_3C


class _IntersectionAndUnion(torch.autograd.Function):
    """One map is kept and one is made in the backward pass.

    A (pixel, class) pair is in one sum alone: its own class's intersection, or another class's union (where a union
    holds the pixel anyway). So the two slopes share a map, and the first curve is evaluated at one class a pixel.
    """

    @staticmethod
    def forward(
        ctx: Any, probabilities_BCHW: Tensor, target_BHW: Tensor, valid_BHW: Tensor, first: Numbers, second: Numbers
    ) -> Tensor:
        index_B1HW = target_BHW.where(valid_BHW, 0).unsqueeze(1)
        hit_B1HW, slope_B1HW = height_and_slope(probabilities_BCHW.gather(1, index_B1HW), first)
        # a factor and no where(): a third of its time, and a probability is finite
        counts_B1HW = valid_BHW.unsqueeze(1).to(hit_B1HW.dtype)
        slope_B1HW = slope_B1HW * counts_B1HW
        # a curve is 0 at 0: what is not counted is 0
        slopes_BCHW = (probabilities_BCHW * counts_B1HW).scatter_(1, index_B1HW, 0)
        rises_C = _heights_to_slopes(slopes_BCHW, counts_B1HW, second)
        index_N = index_B1HW.reshape(-1)
        counted_2N = torch.stack((hit_B1HW * counts_B1HW, counts_B1HW)).view(2, -1).double()
        hit_C, labelled_C = counted_2N.new_zeros(2, len(rises_C)).index_add_(1, index_N, counted_2N)
        ctx.save_for_backward(slopes_BCHW, slope_B1HW, index_B1HW)
        return torch.stack((hit_C, labelled_C + rises_C, labelled_C))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_3C: Tensor) -> tuple[Tensor, None, None, None, None]:
        slopes_BCHW, slope_B1HW, index_B1HW = ctx.saved_tensors
        hit_C, rises_C = grad_3C[:2].to(slopes_BCHW.dtype)
        grad_BCHW = slopes_BCHW * rises_C.view(1, -1, 1, 1)
        return grad_BCHW.scatter_(1, index_B1HW, slope_B1HW * hit_C[index_B1HW]), None, None, None, None


def _heights_to_slopes(maps_BCHW: Tensor, counts_B1HW: Tensor, numbers: Numbers) -> Tensor:
    """Replaces x by the curve's slope at x times what it counts; gives the sum of its heights, float64 [C]."""
    sums_C = torch.zeros(maps_BCHW.shape[1], dtype=torch.float64, device=maps_BCHW.device)
    for place, part, counts in _parts(maps_BCHW, counts_B1HW):
        heights_BC, slope_BCHW = summed_height_and_slope(part, numbers)
        torch.mul(slope_BCHW, counts, out=part)
        sums_C[place] += heights_BC.sum(0)
    return sums_C


def _parts(maps_BCHW: Tensor, counts_B1HW: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The maps plane by plane on a CPU, where a plane stays in the cache; elsewhere whole, in few operations."""
    classes = maps_BCHW.shape[1]
    if maps_BCHW.is_cuda or torch.compiler.is_compiling():
        yield slice(0, classes), maps_BCHW, counts_B1HW
        return
    for image in range(len(maps_BCHW)):
        for index in range(classes):
            place = slice(index, index + 1)
            yield place, maps_BCHW[image : image + 1, place], counts_B1HW[image : image + 1]


def class_boundary_band(target_BHW: Tensor, valid_BHW: Tensor, tolerance: int) -> Tensor:
    """Whether a pixel with two classes in its 3x3 window is at most so many rows and columns away."""
    labels_BHW = target_BHW.float()
    most_BHW = _dilate(labels_BHW.where(valid_BHW, -torch.inf), 1)
    least_BHW = -_dilate((-labels_BHW).where(valid_BHW, -torch.inf), 1)
    boundary_BHW = ((most_BHW > least_BHW) & valid_BHW).float()
    return _dilate(boundary_BHW, tolerance) > 0


def window_valid(valid_BHW: Tensor) -> Tensor:
    """Whether the 3x3 window of a pixel, as far as it is inside, is valid."""
    return _dilate((~valid_BHW).float(), 1) == 0


def boundary_sums(
    map_BHW: Tensor, class_BHW: Tensor, usable_BHW: Tensor, curves: Sequence[Numbers], tolerance: int
) -> Tensor:
    """One class's boundaries: found ones near true ones, found, true ones near found ones, true; [4].

    A boundary is the map XOR its erosion (the least of 3x3), OR less AND: the curves say how. There is none where not
    usable.
    """
    true_BHW = (class_BHW & (_dilate((~class_BHW).to(map_BHW.dtype), 1) > 0) & usable_BHW).to(map_BHW.dtype)
    eroded_BHW = -_dilate(-map_BHW, 1)
    both_BHW = curve(map_BHW, curves[0]) * curve(eroded_BHW, curves[1])
    one_BHW, other_BHW = curve(map_BHW, curves[2]), curve(eroded_BHW, curves[3])
    either_BHW = one_BHW + other_BHW - one_BHW * other_BHW
    found_BHW = (either_BHW - both_BHW).clamp_min(0).where(usable_BHW, 0)
    matched = (found_BHW * _dilate(true_BHW, tolerance)).sum()
    recalled = (_dilate(found_BHW, tolerance) * true_BHW).sum()
    return torch.stack((matched, found_BHW.sum(), recalled, true_BHW.sum()))


def _dilate(maps_BHW: Tensor, reach: int) -> Tensor:
    """The most within so many rows and columns, inside the image."""
    return _most_along(_most_along(maps_BHW, reach, 1), reach, 2)


def _most_along(maps_BHW: Tensor, reach: int, dim: int) -> Tensor:
    """The most of each window of 2 reach + 1, from windows of 1, 2, 4, ...: a tenth of max_pool2d's time on a CPU."""
    ends = (0, 0, reach, reach) if dim == 1 else (reach, reach)
    maps_BHW, covered = F.pad(maps_BHW, ends, value=-torch.inf), 1
    while covered < 2 * reach + 1:
        step = min(covered, 2 * reach + 1 - covered)
        length = maps_BHW.shape[dim] - step
        maps_BHW = torch.maximum(maps_BHW.narrow(dim, 0, length), maps_BHW.narrow(dim, step, length))
        covered += step
    return maps_BHW
