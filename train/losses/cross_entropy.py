"""Cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import cross_entropy_map, mean_over_labelled


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy, the mean over the labelled pixels of the batch; of all processes' batches with `sync`."""

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "ce"

    sync: bool = False
    ignore_index: int = 255

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        return mean_over_labelled(loss_BHW, target_BHW, self.ignore_index, self.sync)
