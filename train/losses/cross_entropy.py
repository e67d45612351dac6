"""Cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import cross_entropy_map


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy, the mean over the labelled pixels of the batch."""

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "ce"

    ignore_index: int = 255

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        # reduction="mean" would be 0/0 on a crop without labels
        return loss_BHW.sum() / (target_BHW != self.ignore_index).sum().clamp_min(1)
