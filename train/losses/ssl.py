"""SSL: binary cross-entropy where the prediction's local structure is not that of the labels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, processes, sum_with_gradients

PART = 2**13  # pixels of all classes, which a CPU's cache holds some ten times


@dataclass(frozen=True)
class Ssl(Loss):
    """Structural similarity loss (arXiv 1910.08711, after others' accounts of it): beside cross-entropy, half and half.

    In each class's map, scores are (y - mean + c4) / (deviation + c4) of the labels and likewise of softmax, means and
    standard deviations over a Gaussian `window` of `sigma`; e is their absolute difference. Over the (pixel, class)
    pairs with e > beta * max e, the mean of e * BCE(y, p); no gradient passes through e. In flat windows e is 0 even
    where the prediction is wrong: it is no loss to train with alone.

    Our reading: borders are replicated, a window with an ignored pixel is left out, and the largest e is the batch's
    (a class that is nowhere would else always have hard pixels). With `sync`, it and the pairs are all processes'.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "ssl"

    window: int = 3
    sigma: float = 1.5
    beta: float = 0.1
    c4: float = 0.01
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.window < 3 or self.window % 2 == 0:
            raise BadInput(f'loss "{self}": window must be odd and at least 3.')
        if not (self.sigma > 0 and self.c4 > 0 and 0 <= self.beta < 1):
            raise BadInput(f'loss "{self}": sigma and c4 must be positive, beta from 0 to below 1.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        known_BHW = target_BHW != self.ignore_index
        # an infinite log-probability under an ignored pixel, times 0, would be NaN
        log_BCHW = at_target_size(logits_BCHW, target_BHW).where(known_BHW.unsqueeze(1), 0).log_softmax(1)
        with torch.no_grad():
            ignored_B1HW = (~known_BHW).unsqueeze(1).to(log_BCHW.dtype)
            whole_B1HW = 1 - F.max_pool2d(ignored_B1HW, self.window, stride=1, padding=self.window // 2)
            difference_BCHW = pairwise_differences(self, log_BCHW, target_BHW, whole_B1HW)
            least = self.beta * largest(difference_BCHW, self.sync)
        total, count = hard_cross_entropy(log_BCHW, target_BHW, difference_BCHW, least)
        return total * processes(self.sync) / sum_with_gradients(count, self.sync).clamp_min(1)


def pairwise_differences(loss: Ssl, log_BCHW: Tensor, target_BHW: Tensor, whole_B1HW: Tensor) -> Tensor:
    """e of every pair, 0 where the window is not whole."""
    weights, classes_C = gaussian(loss.window, loss.sigma), torch.arange(log_BCHW.shape[1], device=log_BCHW.device)
    found_BCHW = torch.empty_like(log_BCHW)
    for image, kind in single_maps(log_BCHW):
        labels_BCHW = target_BHW[image].unsqueeze(1) == classes_C[kind].view(-1, 1, 1)
        part_BCHW = negative_scores(log_BCHW[image, kind].exp(), weights, loss.c4)
        part_BCHW -= negative_label_scores(labels_BCHW.to(part_BCHW.dtype), weights, loss.c4)
        torch.mul(part_BCHW.abs_(), whole_B1HW[image], out=found_BCHW[image, kind])
    return found_BCHW


def single_maps(maps_BCHW: Tensor) -> Iterator[tuple[slice, slice]]:
    """The image and class of one map after another, which a CPU's cache holds; elsewhere all at once."""
    if maps_BCHW.device.type != "cpu" or torch.compiler.is_compiling():
        yield slice(None), slice(None)
        return
    for image in range(maps_BCHW.shape[0]):
        for kind in range(maps_BCHW.shape[1]):
            yield slice(image, image + 1), slice(kind, kind + 1)


def gaussian(window: int, sigma: float) -> list[float]:
    """The weights of a row of the window from its middle outwards; both sides together sum to 1."""
    half = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(window // 2 + 1)]
    return [weight / (2 * sum(half) - half[0]) for weight in half]


def negative_scores(maps_BCHW: Tensor, weights: list[float], c4: float) -> Tensor:
    """-(x - mean + c4) / (standard deviation + c4) of each pixel x in its window.

    The window is separable, its variance that of the rows' means plus the mean of the rows' variances. From differences
    to the middle: what is flat has exactly no deviation, in float32 too.
    """
    rise_BCHW, row_variance_BCHW = rise_and_variance(maps_BCHW, weights, -1)
    further_BCHW, variance_BCHW = rise_and_variance(maps_BCHW + rise_BCHW, weights, -2)
    variance_BCHW += row_variance_BCHW
    variance_BCHW += rise(row_variance_BCHW, weights, -2)
    # of a variance of 0, rounding may leave less
    deviation_BCHW = variance_BCHW.clamp_min_(0).sqrt_()
    return rise_BCHW.add_(further_BCHW).sub_(c4).div_(deviation_BCHW.add_(c4))


def negative_label_scores(labels_BCHW: Tensor, weights: list[float], c4: float) -> Tensor:
    """The same of labels: where all is 0 or 1, the variance is mean * (1 - mean)."""
    rise_BCHW = rise(labels_BCHW, weights, -1)
    rise_BCHW += rise(labels_BCHW + rise_BCHW, weights, -2)
    mean_BCHW = labels_BCHW.add_(rise_BCHW)
    deviation_BCHW = mean_BCHW.addcmul_(mean_BCHW, mean_BCHW, value=-1).clamp_min_(0).sqrt_()
    return rise_BCHW.sub_(c4).div_(deviation_BCHW.add_(c4))


def rise(maps_BCHW: Tensor, weights: list[float], dim: int) -> Tensor:
    """The weighted mean less the middle, along one dimension."""
    found_BCHW = torch.zeros_like(maps_BCHW)
    for before_BCHW, after_BCHW, weight in neighbourhood_mean(maps_BCHW, weights, dim):
        found_BCHW.add_(before_BCHW.add_(after_BCHW), alpha=weight)
    return found_BCHW


def rise_and_variance(maps_BCHW: Tensor, weights: list[float], dim: int) -> tuple[Tensor, Tensor]:
    """That, and the weighted variance."""
    found_BCHW, squares_BCHW = torch.zeros_like(maps_BCHW), torch.zeros_like(maps_BCHW)
    for before_BCHW, after_BCHW, weight in neighbourhood_mean(maps_BCHW, weights, dim):
        squares_BCHW.addcmul_(before_BCHW, before_BCHW, value=weight).addcmul_(after_BCHW, after_BCHW, value=weight)
        found_BCHW.add_(before_BCHW.add_(after_BCHW), alpha=weight)
    return found_BCHW, squares_BCHW.addcmul_(found_BCHW, found_BCHW, value=-1)


def neighbourhood_mean(maps_BCHW: Tensor, weights: list[float], dim: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """At each step from the middle, what is before and after it less the middle, and the weight of both."""
    reach, length = len(weights) - 1, maps_BCHW.shape[dim]
    padded_BCHW = F.pad(maps_BCHW, (reach, reach, 0, 0) if dim == -1 else (0, 0, reach, reach), mode="replicate")
    for step in range(1, reach + 1):
        before_BCHW, after_BCHW = (padded_BCHW.narrow(dim, reach + k, length) for k in (-step, step))
        yield before_BCHW - maps_BCHW, after_BCHW - maps_BCHW, weights[step]


def largest(values: Tensor, sync: bool) -> Tensor:
    """The largest value, of all processes with `sync`."""
    found = values.amax()
    if processes(sync) > 1:
        distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return found


def hard_cross_entropy(
    log_BCHW: Tensor, target_BHW: Tensor, difference_BCHW: Tensor, least: Tensor
) -> tuple[Tensor, Tensor]:
    """The sum of e * BCE(y, p) over the pairs with e above the least, and their number."""
    return _HardCrossEntropy.apply(log_BCHW, target_BHW, difference_BCHW, least)  # type: ignore[no-any-return]


class _HardCrossEntropy(torch.autograd.Function):
    """The gradient is computed along, some pixels at a time: they stay in a CPU's cache, and autograd keeps one map."""

    @staticmethod
    def forward(
        ctx: Any, log_BCHW: Tensor, target_BHW: Tensor, difference_BCHW: Tensor, least: Tensor
    ) -> tuple[Tensor, Tensor]:
        grad_BCHW = torch.empty_like(log_BCHW)
        total, count = log_BCHW.new_zeros(()), torch.zeros((), dtype=torch.long, device=log_BCHW.device)
        maps = [tensor.flatten(2) for tensor in (log_BCHW, difference_BCHW, grad_BCHW, target_BHW.unsqueeze(1))]
        classes_C1 = torch.arange(log_BCHW.shape[1], device=log_BCHW.device).unsqueeze(1)
        at_once = log_BCHW.device.type != "cpu" or torch.compiler.is_compiling()
        for parts in zip(
            *(torch.split(tensor, tensor.shape[2] if at_once else PART, 2) for tensor in maps), strict=True
        ):
            log_BCN, difference_BCN, grad_BCN, target_B1N = parts
            hard_BCN = difference_BCN > least
            count += hard_BCN.sum()
            total += structural_cross_entropy(log_BCN, target_B1N == classes_C1, difference_BCN * hard_BCN, grad_BCN)
        ctx.save_for_backward(grad_BCHW)
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        return grad * ctx.saved_tensors[0], None, None, None


def structural_cross_entropy(log_BCN: Tensor, labels_BCN: Tensor, weight_BCN: Tensor, grad_BCN: Tensor) -> Tensor:
    """The weighted sum of BCE(y, p) from log p; writes its gradient with respect to log p.

    Where p > 0.5, 1 - p loses its digits or is 0: its logarithm is that of the other classes' sum, which gets the
    gradient too.
    """
    above_BCN = log_BCN > math.log(0.5)
    others_BCN = log_BCN.masked_fill(above_BCN, -torch.inf)
    most_B1N = others_BCN.amax(1, keepdim=True)
    others_BCN.sub_(most_B1N).exp_()
    sum_B1N = others_BCN.sum(1, keepdim=True)
    odds_BCN = others_BCN * most_B1N.exp()
    complement_BCN = torch.where(above_BCN, sum_B1N.log() + most_B1N, torch.log1p(-odds_BCN))
    total = -(weight_BCN * torch.where(labels_BCN, log_BCN, complement_BCN)).sum()
    odds_BCN.div_(1 - odds_BCN).masked_fill_(labels_BCN, -1).mul_(weight_BCN)
    share_B1N = (weight_BCN * (above_BCN & ~labels_BCN)).sum(1, keepdim=True) / sum_B1N
    torch.addcmul(odds_BCN, others_BCN, share_B1N, value=-1, out=grad_BCN)
    return total
