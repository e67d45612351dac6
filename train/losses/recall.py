"""Recall loss: cross-entropy, heavier for classes that are missed at this step."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import (
    at_target_size,
    class_counts,
    class_or_last,
    processes,
    sum_with_gradients,
)


@dataclass(frozen=True)
class Recall(Loss):
    """Recall loss (arXiv 2106.14917): each pixel weighs (FN + smoothing) / (N + smoothing) of its class.

    N are the batch's labelled pixels of the class, FN those of them that the network gets wrong; no gradient passes
    through the weights. `reduction` divides by the labelled pixels ("valid") or by the sum of the weights
    ("weights": the loss does not shrink as accuracy rises). `official` is the authors' release: max(FN, 1) / N over
    the labelled pixels; it takes neither of the two other options. A pixel whose class shares the highest logit with
    another one is missed. `sync` counts the pixels of all processes.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "recall"

    smoothing: float = 1.0
    reduction: Literal["valid", "weights"] = "valid"
    official: bool = False
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.smoothing < 0:
            raise BadInput(f'loss "{self}": smoothing must not be negative.')
        if self.official and (self.smoothing, self.reduction) != (1.0, "valid"):
            raise BadInput(f'loss "{self}": official fixes smoothing and reduction. Leave them out.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        logits_BCHW = at_target_size(logits_BCHW, target_BHW)
        counts_2C = sum_with_gradients(
            labelled_and_missed(logits_BCHW.detach(), target_BHW, self.ignore_index), self.sync
        )
        labelled_C, missed_C = counts_2C.to(logits_BCHW.dtype).unbind()
        weights_C = self._weights(labelled_C, missed_C)
        loss_BHW = F.cross_entropy(
            logits_BCHW, target_BHW, weight=weights_C, ignore_index=self.ignore_index, reduction="none"
        )
        total = (labelled_C * weights_C).sum() if self.reduction == "weights" else labelled_C.sum()
        return loss_BHW.sum() * processes(self.sync) / total.clamp_min(torch.finfo(loss_BHW.dtype).tiny)

    def _weights(self, labelled_C: Tensor, missed_C: Tensor) -> Tensor:
        if self.official:
            return missed_C.clamp_min(1) / labelled_C.clamp_min(1)
        return (missed_C + self.smoothing) / (labelled_C + self.smoothing).clamp_min(1)


def labelled_and_missed(logits_BCHW: Tensor, target_BHW: Tensor, ignore_index: int) -> Tensor:
    """For each class its labelled pixels, and those of them that are not predicted as it; int64 [2, C]."""
    num_classes = logits_BCHW.shape[1]
    class_BHW = class_or_last(target_BHW, num_classes, ignore_index)
    missed_BHW = rivals(logits_BCHW, class_BHW.clamp_max(num_classes - 1)) > 1
    index_BHW = class_BHW + (num_classes + 1) * missed_BHW
    counts_2S = class_counts(index_BHW, 2 * num_classes + 2).view(2, -1)
    return torch.stack((counts_2S.sum(0), counts_2S[1]))[:, :num_classes]


def rivals(logits_BCHW: Tensor, class_BHW: Tensor) -> Tensor:
    """How many classes have at least the logit of the pixel's class, itself among them."""
    own_B1HW = logits_BCHW.gather(1, class_BHW.unsqueeze(1))
    if logits_BCHW.is_cuda or torch.compiler.is_compiling():
        return (logits_BCHW >= own_B1HW).sum(1)
    # class by class: on a CPU a sum of booleans over a middle dimension takes ten times as long
    rivals_B1HW = torch.zeros_like(own_B1HW, dtype=torch.int16)
    for c in range(logits_BCHW.shape[1]):
        rivals_B1HW += logits_BCHW[:, c : c + 1] >= own_B1HW
    return rivals_B1HW.squeeze(1)
