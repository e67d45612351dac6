"""HL: a branch learns how hard each pixel is, and its answer weights the cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import (
    at_target_size,
    cross_entropy_map,
    processes,
    sum_with_gradients,
    weighted_sum,
)


@dataclass(frozen=True)
class Hardness(Loss):
    """Learned pixel hardness (arXiv 2305.08462): stands in for the cross-entropy of the main head.

    `hardness` [B, 1, H, W] are the branch's logits, from detached features. H = sigmoid + floor, normalised to a sum of
    1 over the batch's labelled pixels; the network gets sum(stop(H) * ce), the branch -alpha * sum(H * stop(ce)), and
    the value is their sum. With `official`, H is normalised over ignored pixels too, as in the authors' release: their
    share of the weight is lost. `sync` normalises H over the batches of all processes.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "hardness")
    name: ClassVar[str] = "hardness"

    alpha: float = 0.01
    floor: float = 0.1
    official: bool = False
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.floor > 0):
            raise BadInput(f'loss "{self}": alpha and floor must be positive. The authors take 0.01 and 0.1.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, hardness: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        raw_BHW = at_target_size(hardness, target_BHW).squeeze(1).sigmoid() + self.floor
        # H itself is not formed: the loss is 0 where H should be, and two scalars normalise it
        counted_BHW = (target_BHW != self.ignore_index).to(raw_BHW.dtype)
        share = raw_BHW.sum() if self.official else weighted_sum(counted_BHW, raw_BHW)
        total = (sum_with_gradients(share, self.sync) / processes(self.sync)).clamp_min(torch.finfo(raw_BHW.dtype).tiny)
        network = weighted_sum(raw_BHW.detach(), loss_BHW) / total.detach()
        return network - self.alpha * weighted_sum(raw_BHW, loss_BHW.detach()) / total
