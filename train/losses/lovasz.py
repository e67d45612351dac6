"""Lovász-Softmax, from segmentation-models-pytorch."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad

from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size


@dataclass(frozen=True)
class Lovasz(Loss):
    """Lovász-Softmax (arXiv 1705.08790): the Lovász extension of 1 - IoU, over the batch, mean of the present classes.

    The errors |1[y = c] - p_c| of a class, sorted in descending order, each times the growth of the Jaccard loss when
    its pixel joins those that are wrong. These factors come from the library and are constant in a neighbourhood: the
    value is their product with the errors, in the logits' own precision, and they are the gradient.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "lovasz"

    ignore_index: int = 255

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        probabilities_BCHW = at_target_size(logits_BCHW, target_BHW).softmax(1)
        valid_BHW = target_BHW != self.ignore_index
        may_skip = not (logits_BCHW.is_cuda or torch.compiler.is_compiling())
        total, present = 0 * probabilities_BCHW.sum(), valid_BHW.new_zeros((), dtype=torch.long)
        for index, probability_BHW in enumerate(probabilities_BCHW.unbind(1)):
            class_BHW = (target_BHW == index) & valid_BHW
            counts = class_BHW.any()
            if may_skip and not counts:
                continue
            total = total + lovasz(probability_BHW, class_BHW, valid_BHW).where(counts, 0)
            present = present + counts
        return total / present.clamp_min(1)


def lovasz(probability_BHW: Tensor, class_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
    """The Lovász extension of one class's Jaccard loss at its probabilities."""
    errors_BHW = probability_BHW - class_BHW.to(probability_BHW.dtype)
    return (jaccard_growth(probability_BHW.detach(), class_BHW, valid_BHW) * errors_BHW).sum()


def jaccard_growth(probability_BHW: Tensor, class_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
    """The derivative of one class's Lovász loss by its probabilities; 0 at ignored pixels.

    The library's multi-class form selects pixels and skips classes by their values, which waits for a GPU, returns an
    empty tensor when all are ignored, and keeps five maps a class until the backward pass. Its binary form has a hinge
    1 - z for pixels of the class and 1 + z for others: at z = p - 1 + 1[y = c] that is |1[y = c] - p|. An error of 0
    adds nothing to it, so an ignored pixel is one of another class with z = -1.
    """
    from segmentation_models_pytorch.losses import LovaszLoss

    library = LovaszLoss("binary")
    labels_BHW = class_BHW.float()  # the library computes in float32
    margin_BHW = (probability_BHW.float() - 1 + labels_BHW).where(valid_BHW, -1)
    growth_BHW: Tensor = grad(lambda margin_BHW: library(margin_BHW, labels_BHW))(margin_BHW)
    return growth_BHW.to(probability_BHW.dtype)
