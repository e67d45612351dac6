"""CPG: the spatial gradients of the class probabilities should be those of the labels, at the labels' boundaries."""

from dataclasses import dataclass
from math import comb
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size

EPSILON = 1e-8  # far below the least squared gradient of a label, so that equal gradients give 0


@dataclass(frozen=True)
class Cpg(Loss):
    """Convolution-based probability gradients: our reading of arXiv 2404.06704, whose abstract alone is public to us.

    gP and gY are the Sobel gradients (kernel x kernel, unit slope gives 1, replicated borders) of softmax and one-hot
    labels. Over the (pixel, class) pairs with gY != 0 and no ignored pixel in their window, the mean of
    1 - 2<gP, gY> / (|gP|^2 + |gY|^2) ("dice") or of 1 - <gP, gY> / (|gP| |gY|) ("cosine"). A term beside
    cross-entropy, not instead of it.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "cpg"

    kernel: int = 3
    similarity: Literal["dice", "cosine"] = "dice"
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise BadInput(f'loss "{self}": kernel must be odd and at least 3.')

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        probabilities_BCHW = at_target_size(logits_BCHW, target_BHW).softmax(1)
        with torch.no_grad():
            labels_BCHW = one_hot(target_BHW, self.ignore_index, like_BCHW=probabilities_BCHW)
            truth_2BCHW = sobel(labels_BCHW, self.kernel)
            boundary_BCHW = (truth_2BCHW != 0).any(0) & window_valid(target_BHW, self.ignore_index, self.kernel)
        truth_2N = truth_2BCHW[:, boundary_BCHW]
        found_2N = sobel(probabilities_BCHW, self.kernel)[:, boundary_BCHW]
        similarity_N = dice(found_2N, truth_2N) if self.similarity == "dice" else cosine(found_2N, truth_2N)
        return (1 - similarity_N).sum() / max(similarity_N.numel(), 1)


def sobel(maps_BCHW: Tensor, kernel: int) -> Tensor:
    """Gradients along height and width, [2, B, C, H, W]: central differences, smoothed binomially; kernel is odd.

    By slices and sums: convolutions may round to TF32 or half precision, and then flat regions have gradients.
    """
    reach = kernel // 2
    padded_BCHW = F.pad(maps_BCHW, (reach, reach, reach, reach), mode="replicate")
    smooth = [comb(kernel - 1, k) / 2 ** (kernel - 1) for k in range(kernel)]
    inner = [0.0, 0.0, *(comb(kernel - 3, k) / 2 ** (kernel - 3) for k in range(kernel - 2)), 0.0, 0.0]
    slope = [(inner[k] - inner[k + 2]) / 2 for k in range(kernel)]
    vertical_BCHW = _correlate(_correlate(padded_BCHW, slope, dim=2), smooth, dim=3)
    horizontal_BCHW = _correlate(_correlate(padded_BCHW, smooth, dim=2), slope, dim=3)
    return torch.stack((vertical_BCHW, horizontal_BCHW))


def _correlate(maps_BCHW: Tensor, weights: list[float], dim: int) -> Tensor:
    length = maps_BCHW.shape[dim] - len(weights) + 1
    parts = [weight * maps_BCHW.narrow(dim, k, length) for k, weight in enumerate(weights) if weight]
    return sum(parts[1:], parts[0])


def one_hot(target_BHW: Tensor, ignore_index: int, like_BCHW: Tensor) -> Tensor:
    """1 at each labelled pixel's class, else 0, in the shape and dtype of like_BCHW."""
    valid_B1HW = (target_BHW != ignore_index).unsqueeze(1)
    index_B1HW = target_BHW.unsqueeze(1).where(valid_B1HW, 0)
    return torch.zeros_like(like_BCHW).scatter_(1, index_B1HW, valid_B1HW.to(like_BCHW.dtype))


def window_valid(target_BHW: Tensor, ignore_index: int, kernel: int) -> Tensor:
    """Whether the kernel x kernel window around a pixel, as far as it is inside, has no ignored pixel; [B, 1, H, W]."""
    ignored_B1HW = (target_BHW == ignore_index).unsqueeze(1).float()
    return F.max_pool2d(ignored_B1HW, kernel, stride=1, padding=kernel // 2) == 0


def dice(found_2N: Tensor, truth_2N: Tensor) -> Tensor:
    """2<a, b> / (|a|^2 + |b|^2); b is not 0."""
    return 2 * (found_2N * truth_2N).sum(0) / (found_2N.square() + truth_2N.square()).sum(0)


def cosine(found_2N: Tensor, truth_2N: Tensor) -> Tensor:
    """<a, b> / (|a| |b|), finite also for a = 0; b is not 0."""
    squares_N = (found_2N.square().sum(0) + EPSILON) * truth_2N.square().sum(0)
    return (found_2N * truth_2N).sum(0) / squares_N.sqrt()
