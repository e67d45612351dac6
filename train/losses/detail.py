"""STDC's detail loss: binary cross-entropy and Dice of a detail head."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses.boundary_bands import detail_of, official_detail_of
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size

SMOOTH = 1.0


@dataclass(frozen=True)
class Detail(Loss):
    """Binary cross-entropy over the labelled pixels plus each image's Dice loss (arXiv 2104.13188, eq. 2 and 3).

    `detail` [B, 1, H, W] are the head's logits. The targets come from Laplacians of the label map at three scales: here
    a pixel of detail has a labelled neighbour of another class. With `official` the Laplacian is of the class indices,
    as in the release: which side of a boundary counts depends on the order of the classes, the image's border counts,
    and so do ignored pixels. Per process, as in the release.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "detail")
    name: ClassVar[str] = "detail"

    official: bool = False
    ignore_index: int = 255

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, detail: Tensor) -> Tensor:
        counted_BHW = torch.ones_like(target_BHW, dtype=torch.bool)
        true_BHW = official_detail_of(target_BHW)
        if not self.official:
            counted_BHW = target_BHW != self.ignore_index
            true_BHW = detail_of(target_BHW, self.ignore_index) & counted_BHW
        found_BHW = at_target_size(detail, target_BHW).squeeze(1).where(counted_BHW, 0)
        wanted_BHW = true_BHW.to(found_BHW.dtype)
        loss_BHW = F.binary_cross_entropy_with_logits(found_BHW, wanted_BHW, reduction="none") * counted_BHW
        entropy = loss_BHW.sum() / counted_BHW.sum().clamp_min(1)
        return entropy + dice(found_BHW.sigmoid() * counted_BHW, wanted_BHW)


def dice(probability_BHW: Tensor, wanted_BHW: Tensor) -> Tensor:
    """1 - Dice of each image, smoothed by 1; the mean over the images."""
    both_B = (probability_BHW * wanted_BHW).sum((1, 2))
    sum_B = probability_BHW.sum((1, 2)) + wanted_BHW.sum((1, 2))
    return (1 - (2 * both_B + SMOOTH) / (sum_B + SMOOTH)).mean()
