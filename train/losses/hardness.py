"""HL: a branch learns how hard each pixel is, and its answer weights the cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, cross_entropy_map


@dataclass(frozen=True)
class Hardness(Loss):
    """Learned pixel hardness (arXiv 2305.08462): stands in for the cross-entropy of the main head.

    `hardness` [B, 1, H, W] are the branch's logits, from detached features. H = sigmoid + floor, normalised to a sum of
    1 over the batch's labelled pixels; the network gets sum(stop(H) * ce), the branch -alpha * sum(H * stop(ce)), and
    the value is their sum. With `official`, H is normalised over ignored pixels too, as in the authors' release: their
    share of the weight is lost.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "hardness")
    name: ClassVar[str] = "hardness"

    alpha: float = 0.01
    floor: float = 0.1
    official: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.floor > 0):
            raise BadInput(f'loss "{self}": alpha and floor must be positive. The authors take 0.01 and 0.1.')

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, hardness: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        hardness_BHW = at_target_size(hardness, target_BHW).squeeze(1)
        counted_BHW = None if self.official else target_BHW != self.ignore_index
        weights_BHW = hardness_weights(hardness_BHW, counted_BHW, self.floor)
        return weighted_sum(weights_BHW.detach(), loss_BHW) - self.alpha * weighted_sum(weights_BHW, loss_BHW.detach())


def hardness_weights(hardness_BHW: Tensor, counted_BHW: Tensor | None, floor: float) -> Tensor:
    """sigmoid(hardness) + floor, over its sum; 0 and without gradient where counted_BHW (all if None) is false."""
    raw_BHW = hardness_BHW.sigmoid() + floor
    if counted_BHW is not None:
        raw_BHW = raw_BHW.where(counted_BHW, 0)
    return raw_BHW / raw_BHW.sum().clamp_min(torch.finfo(raw_BHW.dtype).tiny)


def weighted_sum(weights_BHW: Tensor, loss_BHW: Tensor) -> Tensor:
    """sum(weights * loss), without the product's map."""
    return torch.dot(weights_BHW.reshape(-1), loss_BHW.reshape(-1))
