"""Focal loss: cross-entropy, lighter for pixels that are already right."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import cross_entropy_map, mean_over_labelled


@dataclass(frozen=True)
class Focal(Loss):
    """Softmax focal loss (arXiv 1708.02002): the mean over the labelled pixels of (1 - p)^gamma * cross-entropy.

    p is the softmax probability of the pixel's class; the gradient passes through both factors. Not the sum of
    one-against-rest sigmoids that other libraries call multi-class focal. gamma 0 is cross-entropy. `sync` takes the
    mean over all processes' labelled pixels.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "focal"

    gamma: float = 2.0
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < math.inf:
            raise BadInput(f'loss "{self}": gamma must be finite and not negative. The authors take 2.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        return mean_over_labelled(focal_terms(loss_BHW, self.gamma), target_BHW, self.ignore_index, self.sync)


def focal_terms(loss_BHW: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma * loss, where loss = -log p."""
    # the power's slope at 0 is infinite for gamma < 1, and times a loss of 0 not a number
    missing_BHW = (-torch.expm1(-loss_BHW)).clamp_min(torch.finfo(loss_BHW.dtype).tiny)
    return missing_BHW**gamma * loss_BHW
