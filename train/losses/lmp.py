"""LMP: the worst mean that bounded weights can make of the pixels' losses."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import cross_entropy_map, sort_ascending, weighted_sum


@dataclass(frozen=True)
class Lmp(Loss):
    """Loss max-pooling (arXiv 1704.02966): the maximum of sum(w * ce) over weights with a bounded p-norm.

    Over the n labelled pixels, ||w||_p <= n^(1/p - 1) and 0 <= w <= ratio^(-1/p) / n, so that `ratio` * n pixels at the
    bound reach the norm. These bounds are the normalisation, and nothing is divided after: the weights sum to at most
    1, equal losses give their mean, and the value is between the mean (p to infinity) and the mean of the ratio * n
    highest losses (p to 1). The maximum is exact, by one sort. Its gradient is that of the sum with fixed weights.
    Per process: ranks do not add up over processes.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "lmp"

    p: float = 1.7
    ratio: float = 0.3
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not 1 < self.p < math.inf:
            raise BadInput(f'loss "{self}": p must be finite and above 1. The authors take 1.7.')
        if not 0 < self.ratio <= 1:
            raise BadInput(f'loss "{self}": ratio must be above 0 and at most 1. The authors take 0.3.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        labelled = (target_BHW != self.ignore_index).sum().clamp_min(1)
        return max_pooled_weights(loss_BHW.reshape(-1), labelled, self.p, self.ratio)


def max_pooled_weights(loss_N: Tensor, labelled: Tensor, p: float, ratio: float) -> Tensor:
    """The weighted sum over the `labelled` losses among loss_N, at least one; the others must be 0."""
    q = p / (p - 1)
    with torch.no_grad():
        level = pooling_level(loss_N, ratio * labelled.double(), q).clamp_min(torch.finfo(loss_N.dtype).tiny)
        weights_N = (loss_N / level).clamp_max(1).pow(q - 1)
        bound = (math.pow(ratio, -1 / p) / labelled.double()).to(loss_N.dtype)
    return weighted_sum(weights_N, loss_N) * bound


@torch.no_grad()
def pooling_level(loss_N: Tensor, mass: Tensor, q: float) -> Tensor:
    """The a with sum(min(1, (loss / a)^q)) = mass > 0; 0 where fewer losses than mass are positive.

    If the j lowest losses are below a and the others at or above it, a^q is the sum of the j lowest loss^q over
    j - (N - mass). For any other j that quotient is higher, as min(loss, a) is the lower of the two for each loss: a^q
    is the least quotient with a positive denominator. Losses of 0 change neither sum nor denominator.
    """
    sorted_N = sort_ascending(loss_N)
    room_N = mass - torch.arange(loss_N.numel() - 1, -1, -1, device=loss_N.device)
    # a is at least the first loss with room: relative to it no power that matters is too small or too large
    first = (loss_N.numel() - mass).floor().clamp_max(loss_N.numel() - 1).long()
    unit = sorted_N.gather(0, first.reshape(1))
    powers_N = (sorted_N / unit.where(unit > 0, 1)).pow(q)
    quotients_N = powers_N.cumsum(0, dtype=torch.float64) / room_N
    return unit * quotients_N.masked_fill(room_N <= 0, math.inf).amin().pow(1 / q).to(loss_N.dtype)
