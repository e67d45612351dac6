"""DFR: pixels that look alike, by colour or by deep features, should be given the same class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size


@dataclass(frozen=True)
class Dfr(Loss):
    """The pairwise energy of dynamic feature regularisation (arXiv 2108.01296): sum k_ij (1 - <p_i, p_j>) / pixels.

    j is in the window of 2 radius + 1 about i, and k_ij = exp(-|x_i - x_j|^2 / 2 xy^2 - |c_i - c_j|^2 / 2 rgb^2)
    + deep_weight exp(-|f_i - f_j|^2 / 2 deep^2), where `features` [B, D, h, w] are given: resized bilinearly, then of
    length 1, and without gradient. `image` is [B, 3, H, W], RGB in 0..1. Image and probabilities are averaged down to
    `scale` of the target's size first, and radius and xy are pixels of that grid. The colours' numbers are those of the
    gated CRF; scale, deep and deep_weight are our choice.

    This is the regulariser alone: `ce + 0.01*dfr`, where ce of the labelled pixels is the partial cross-entropy of
    scribbles (the gated CRF's weight of 0.1 let a small network from random weights collapse). Labels are not read:
    every pixel counts, ignored ones too, and a batch without labels. So does padding that an augmentation adds: it is
    of one colour, so that it is bound to itself and hardly to the image.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "image")
    accepts: ClassVar[tuple[str, ...]] = ("features",)
    name: ClassVar[str] = "dfr"

    radius: int = 5
    xy: float = 6.0
    rgb: float = 0.1
    deep: float = 0.5
    deep_weight: float = 1.0
    scale: float = 0.5

    def __post_init__(self) -> None:
        if not (self.radius >= 1 and self.xy > 0 and self.rgb > 0 and self.deep > 0 and self.deep_weight >= 0):
            raise BadInput(f'loss "{self}": radius is at least 1; xy, rgb and deep are above 0, deep_weight not below.')
        if not 0 < self.scale <= 1:
            raise BadInput(f'loss "{self}": scale is a share of the image\'s size: above 0, at most 1.')
        super().__post_init__()

    def __call__(
        self, logits_BCHW: Tensor, target_BHW: Tensor, *, image: Tensor, features: Tensor | None = None
    ) -> Tensor:
        height, width = (max(1, round(self.scale * length)) for length in target_BHW.shape[-2:])
        size = (height, width)
        probabilities_BCHW = box_average(at_target_size(logits_BCHW, target_BHW).softmax(1), size)
        dtype = probabilities_BCHW.dtype
        with torch.no_grad():
            image_BCHW = box_average(image.to(dtype), size)
            features_BDHW = None if features is None else unit_length(features.to(dtype), size)
            kernels = list(self._kernels(image_BCHW, features_BDHW))
        energy: Tensor = _Energy.apply(probabilities_BCHW, kernels)
        return energy / (len(image_BCHW) * height * width)

    def _kernels(self, image_BCHW: Tensor, features_BDHW: Tensor | None) -> Iterator[tuple[int, int, Tensor]]:
        """Row offset, column offset, and the kernel of each pair of pixels that far apart, [B, 1, h, w]."""
        for down, right in half_window(self.radius, image_BCHW.shape[-2:]):
            near = (down * down + right * right) / (2 * self.xy**2)
            colours_B1HW = squared_distance(image_BCHW, down, right) / (2 * self.rgb**2)
            kernel_B1HW = (-near - colours_B1HW).exp_()
            if features_BDHW is not None:
                deep_B1HW = squared_distance(features_BDHW, down, right) / (2 * self.deep**2)
                kernel_B1HW += self.deep_weight * (-deep_B1HW).exp_()
            yield down, right, kernel_B1HW


def box_average(maps_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The means over the cells of a grid of this height and width."""
    return maps_BCHW if maps_BCHW.shape[-2:] == size else F.adaptive_avg_pool2d(maps_BCHW, size)


def unit_length(features_BDHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Features at this height and width, each pixel's of length 1."""
    if features_BDHW.shape[-2:] != size:
        features_BDHW = F.interpolate(features_BDHW, size=size, mode="bilinear", align_corners=False)
    return F.normalize(features_BDHW, dim=1)


def half_window(radius: int, size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """One of each pair of opposite offsets, as far as the image has such pixels."""
    for down in range(radius + 1):
        for right in range(-radius, radius + 1):
            if (down, right) > (0, 0) and down < size[0] and abs(right) < size[1]:
                yield down, right


def two_ends(maps_BCHW: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """The maps at the pixels that have a partner at this offset, and at their partners."""
    height, width = maps_BCHW.shape[-2:]
    left, starts = max(-right, 0), max(right, 0)
    here_BCHW = maps_BCHW[..., : height - down, left : width - starts]
    return here_BCHW, maps_BCHW[..., down:, starts : width - left]


def squared_distance(maps_BCHW: Tensor, down: int, right: int) -> Tensor:
    """|a - b|^2 of each pair of pixels at this offset, [B, 1, h, w]."""
    here_BCHW, there_BCHW = two_ends(maps_BCHW, down, right)
    return (here_BCHW - there_BCHW).square_().sum(1, keepdim=True)


class _Energy(torch.autograd.Function):
    """sum k_ij (1 - <p_i, p_j>) over both directions of each pair.

    With q_i = sum_j k_ij p_j it is sum k - sum <p, q>, and its gradient is -2 q: one map is kept instead of one for
    each offset.
    """

    @staticmethod
    def forward(ctx: Any, maps_BCHW: Tensor, kernels: list[tuple[int, int, Tensor]]) -> Tensor:
        filtered_BCHW = torch.zeros_like(maps_BCHW)
        total_B1HW = torch.zeros_like(maps_BCHW[:, :1])
        for down, right, kernel_B1HW in kernels:
            here_BCHW, there_BCHW = two_ends(maps_BCHW, down, right)
            to_here_BCHW, to_there_BCHW = two_ends(filtered_BCHW, down, right)
            to_here_BCHW.addcmul_(kernel_B1HW, there_BCHW)
            to_there_BCHW.addcmul_(kernel_B1HW, here_BCHW)
            for end_B1HW in two_ends(total_B1HW, down, right):
                end_B1HW += kernel_B1HW
        ctx.save_for_backward(filtered_BCHW)
        # pixel by pixel: the sums over all pixels are large beside their difference
        return (total_B1HW - (maps_BCHW * filtered_BCHW).sum(1, keepdim=True)).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (filtered_BCHW,) = ctx.saved_tensors
        return -2 * grad * filtered_BCHW, None
