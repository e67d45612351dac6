"""PIDNet's boundary loss, and its OHEM on the boundaries that the head finds."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.boundary_bands import boundary_band
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.ohem import mean_of_hard
from hardedge.train.losses.pixels import at_target_size


@dataclass(frozen=True)
class Boundary(Loss):
    """Binary cross-entropy of a boundary head (arXiv 2206.02066, eq. of l1), boundary and rest weighing alike.

    `boundary` [B, 1, H, W] are its logits. A pixel is on a boundary where another class is at most `radius` pixels
    away; its weight is the share of the rest among the batch's labelled pixels, that of the rest the boundary's share.
    PIDNet takes 20 times this, on bands of the same width around Canny's edges of the label map; there ignored pixels
    are a class. Per process, as in the release.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "boundary")
    name: ClassVar[str] = "boundary"

    radius: int = 2
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise BadInput(f'loss "{self}": radius must be 1 or more pixels.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, boundary: Tensor) -> Tensor:
        labelled_BHW = target_BHW != self.ignore_index
        found_BHW = at_target_size(boundary, target_BHW).squeeze(1).where(labelled_BHW, 0)
        true_BHW = boundary_band(target_BHW, self.radius, self.ignore_index)
        loss_BHW = F.binary_cross_entropy_with_logits(found_BHW, true_BHW.to(found_BHW.dtype), reduction="none")
        labelled = labelled_BHW.sum().clamp_min(1)
        share = true_BHW.sum().to(loss_BHW.dtype) / labelled
        weight_BHW = labelled_BHW * ((1 - share) * true_BHW + share * ~true_BHW)
        return (weight_BHW * loss_BHW).sum() / labelled


@dataclass(frozen=True)
class BoundaryOhem(Loss):
    """OHEM where the boundary head is sure (arXiv 2206.02066, l3): its probability of a boundary is above `sure`.

    `threshold` and `min_kept` are those of `ohem`, over these pixels. No gradient reaches the head.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "boundary")
    name: ClassVar[str] = "boundary_ohem"

    sure: float = 0.8
    threshold: float = 0.9
    min_kept: float = 0.0625
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not 0 < self.sure < 1:
            raise BadInput(f'loss "{self}": sure is a probability. Give a number between 0 and 1.')
        if not (0 <= self.threshold <= 1 and 0 <= self.min_kept <= 1):
            raise BadInput(f'loss "{self}": threshold is a probability and min_kept a share. Give numbers in 0..1.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, boundary: Tensor) -> Tensor:
        found_BHW = at_target_size(boundary.detach(), target_BHW).squeeze(1)
        sure_BHW = found_BHW > math.log(self.sure / (1 - self.sure))
        there_BHW = target_BHW.where(sure_BHW, self.ignore_index)
        return mean_of_hard(logits_BCHW, there_BHW, self.threshold, self.min_kept, self.ignore_index)
