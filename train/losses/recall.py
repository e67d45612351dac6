"""Recall loss: cross-entropy, heavier for classes that are missed at this step."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, cross_entropy_map


@dataclass(frozen=True)
class Recall(Loss):
    """Recall loss (arXiv 2106.14917): each pixel weighs (FN + smoothing) / (N + smoothing) of its class.

    N are the batch's labelled pixels of the class, FN those of them that the network gets wrong; no gradient passes
    through the weights. `reduction` divides by the labelled pixels ("valid") or by the sum of the weights
    ("weights": the loss does not shrink as accuracy rises). `official` is the authors' release: max(FN, 1) / N over
    the labelled pixels; it takes neither of the two other options.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "recall"

    smoothing: float = 1.0
    reduction: Literal["valid", "weights"] = "valid"
    official: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.smoothing < 0:
            raise BadInput(f'loss "{self}": smoothing must not be negative.')
        if self.official and (self.smoothing, self.reduction) != (1.0, "valid"):
            raise BadInput(f'loss "{self}": official fixes smoothing and reduction. Leave them out.')

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        logits_BCHW = at_target_size(logits_BCHW, target_BHW)
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        missed_C, labelled_C = missed_and_labelled(logits_BCHW, target_BHW, self.ignore_index)
        smoothing = 0.0 if self.official else self.smoothing
        missed_C = missed_C.clamp_min(1) if self.official else missed_C
        weights_C = (missed_C + smoothing).to(loss_BHW.dtype) / (labelled_C + smoothing).clamp_min(1)
        valid_BHW = target_BHW != self.ignore_index
        weights_BHW = weights_C[target_BHW.where(valid_BHW, 0)].where(valid_BHW, 0)
        total = weights_BHW.sum() if self.reduction == "weights" else valid_BHW.sum()
        return (weights_BHW * loss_BHW).sum() / total.clamp_min(torch.finfo(loss_BHW.dtype).tiny)


@torch.no_grad()
def missed_and_labelled(logits_BCHW: Tensor, target_BHW: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """For each class, its labelled pixels that are not predicted as it, and all its labelled pixels."""
    num_classes = logits_BCHW.shape[1]
    missed_BHW = logits_BCHW.argmax(1) != target_BHW
    valid_BHW = target_BHW != ignore_index
    counts = torch.bincount((2 * target_BHW + missed_BHW)[valid_BHW], minlength=2 * num_classes).view(num_classes, 2)
    return counts[:, 1], counts.sum(1)
