"""PAT: every class counts equally, and pixels of low confidence more."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import (
    class_counts,
    class_or_last,
    cross_entropy_map,
    mean_over_labelled,
    processes,
    sum_with_gradients,
    weighted_sum,
)


@dataclass(frozen=True)
class Pat(Loss):
    """Pixel-wise adaptive training: our reading of arXiv 2404.05393 (v1), whose abstract and released loss differ.

    A pixel's cross-entropy is multiplied by 0.5 * exp(k * (1 - p)), p the softmax probability of its class, at most
    `max_weight`; the gradient passes through the weight too, as in the release, but not where it is at most.
    k "classes" is the number of classes, with which the released weight reaches 1e8; k 0 switches this part off,
    which leaves half of the cross-entropy. With `homogenise` the value is the mean over the classes that the batch
    holds of the mean over each class's pixels, without it the mean over the labelled pixels. `sync` counts the pixels
    of all processes.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "pat"

    k: float | Literal["classes"] = 1.0
    homogenise: bool = True
    max_weight: float = 10.0
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.k != "classes" and not 0 <= self.k < math.inf:
            raise BadInput(f'loss "{self}": k must be finite and not negative, or classes.')
        if not 0.5 <= self.max_weight < math.inf:
            raise BadInput(f'loss "{self}": max_weight must be finite and at least 0.5, the weight of a sure pixel.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        num_classes = logits_BCHW.shape[1]
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        k = num_classes if self.k == "classes" else self.k
        adapted_BHW = adapt_temperature(loss_BHW, k, self.max_weight)
        if not self.homogenise:
            return mean_over_labelled(adapted_BHW, target_BHW, self.ignore_index, self.sync)
        class_BHW = class_or_last(target_BHW, num_classes, self.ignore_index)
        labelled_C = sum_with_gradients(class_counts(class_BHW, num_classes + 1)[:-1], self.sync)
        shares_BHW = F.pad(class_mean_weights(labelled_C).to(loss_BHW.dtype), (0, 1))[class_BHW]
        return weighted_sum(shares_BHW, adapted_BHW) * processes(self.sync)


def adapt_temperature(loss_BHW: Tensor, k: float, max_weight: float) -> Tensor:
    """0.5 * exp(k * (1 - p)) * loss, where loss = -log p; the factor is at most max_weight."""
    # the exponent is limited, not the weight: infinity has no gradient
    exponent_BHW = (-k * torch.expm1(-loss_BHW)).clamp_max(math.log(2 * max_weight))
    return 0.5 * exponent_BHW.exp() * loss_BHW


def class_mean_weights(labelled_C: Tensor) -> Tensor:
    """A pixel's weight, by class, in the mean over the present classes of each one's mean; float64."""
    present_C = (labelled_C > 0).double()
    return present_C / (present_C.sum() * labelled_C).clamp_min(1)
