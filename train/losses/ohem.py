"""OHEM: cross-entropy of the hard pixels alone."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import cross_entropy_map, sort_ascending, weighted_sum


@dataclass(frozen=True)
class Ohem(Loss):
    """Online hard example mining for pixels: the mean cross-entropy of the batch's hard pixels.

    A pixel is hard where the softmax probability of its class is below `threshold`. If those are fewer than
    `min_kept` of the labelled pixels, the mean is that of the share min_kept with the highest losses instead; pixels
    that tie for its last places share them. threshold 0 always takes that share (bootstrapped cross-entropy),
    min_kept 0 takes the threshold alone. Per process: ranks do not add up over processes.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "ohem"

    threshold: float = 0.7
    min_kept: float = 0.0625
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 <= self.min_kept <= 1):
            raise BadInput(f'loss "{self}": threshold is a probability and min_kept a share. Give numbers in 0..1.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        return mean_of_hard(logits_BCHW, target_BHW, self.threshold, self.min_kept, self.ignore_index)


def mean_of_hard(
    logits_BCHW: Tensor, target_BHW: Tensor, threshold: float, min_kept: float, ignore_index: int
) -> Tensor:
    """The mean cross-entropy of the hard pixels, as Ohem has it."""
    loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, ignore_index)
    at_least = (min_kept * (target_BHW != ignore_index).sum().double()).ceil()
    weights_BHW = hard_pixel_weights(loss_BHW.detach(), threshold, at_least)
    return weighted_sum(weights_BHW, loss_BHW)


@torch.no_grad()
def hard_pixel_weights(loss_BHW: Tensor, threshold: float, at_least: Tensor) -> Tensor:
    """Weights of the mean over the pixels with exp(-loss) < threshold, or over the at_least highest losses if more.

    Pixels of loss 0, as ignored ones are, never change the weighted sum.
    """
    sorted_N = sort_ascending(loss_BHW.reshape(-1))
    rank = (sorted_N.numel() - at_least).clamp(0, sorted_N.numel() - 1).long()
    easy = -math.log(threshold) if threshold > 0 else math.inf
    cut = sorted_N.gather(0, rank.reshape(1)).clamp_max(easy)
    harder_BHW, tied_BHW = loss_BHW > cut, loss_BHW == cut
    harder = harder_BHW.sum()
    share = ((at_least - harder).clamp_min(0) / tied_BHW.sum().clamp_min(1)).to(loss_BHW.dtype)
    total = torch.maximum(harder, at_least).clamp_min(1).to(loss_BHW.dtype)
    return (harder_BHW + share * tied_BHW) / total
