"""CPG: the spatial gradients of the class probabilities should be those of the labels, at the labels' boundaries."""

from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, processes, sum_with_gradients

EPSILON = 1e-8  # far below the least squared gradient of a label, so that equal gradients give 0
SPARSE_SHARE = 0.5  # of the pixels at a boundary: with more, gathering them costs more than taking every pixel
CPU_CHUNK, GPU_CHUNK = 2**18, 2**26  # elements: a CPU's cache, a GPU's memory holds some ten such tensors


@dataclass(frozen=True)
class Cpg(Loss):
    """Convolution-based probability gradients: our reading of arXiv 2404.06704, whose abstract alone is public to us.

    gP and gY are the Sobel gradients (kernel x kernel, unit slope gives 1, replicated borders) of softmax and one-hot
    labels. Over the (pixel, class) pairs with gY != 0 and no ignored pixel in their window, the mean of
    1 - 2<gP, gY> / (|gP|^2 + |gY|^2) ("dice") or of 1 - <gP, gY> / (|gP| |gY|) ("cosine"). With `sync`, the mean over
    the pairs of all processes. A term beside cross-entropy, not instead of it.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "cpg"

    kernel: int = 3
    similarity: Literal["dice", "cosine"] = "dice"
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise BadInput(f'loss "{self}": kernel must be odd and at least 3.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        probabilities_BCHW = at_target_size(logits_BCHW, target_BHW).softmax(1)
        total, count = self._sum_and_count(probabilities_BCHW, target_BHW)
        return total * processes(self.sync) / sum_with_gradients(count, self.sync).clamp_min(1)

    def _sum_and_count(self, probabilities_BCHW: Tensor, target_BHW: Tensor) -> tuple[Tensor, Tensor]:
        boundary_BHW, valid_BHW = boundary_and_valid(target_BHW, self.ignore_index, self.kernel)
        labels_BHW = target_BHW.where(target_BHW != self.ignore_index, -1)
        if torch.compiler.is_compiling():
            return dense_distances(self, probabilities_BCHW, labels_BHW.unsqueeze(1), valid_BHW.unsqueeze(1))
        # on a GPU the host would have to wait for the number of pixels
        if probabilities_BCHW.device.type == "cpu":
            index_N = boundary_BHW.flatten().nonzero().squeeze(1)
            if index_N.numel() <= SPARSE_SHARE * target_BHW.numel():
                return sparse_distances(self, probabilities_BCHW, labels_BHW, index_N)
        return _ChunkedDistances.apply(self, probabilities_BCHW, labels_BHW, valid_BHW)  # type: ignore[no-any-return]


def boundary_and_valid(target_BHW: Tensor, ignore_index: int, kernel: int) -> tuple[Tensor, Tensor]:
    """Whether the kernel x kernel window around a pixel, as far as it is inside, has several labels and no ignored
    pixel; whether it has no ignored pixel."""
    least_BHW = most_BHW = target_BHW.where(target_BHW != ignore_index, -1).to(torch.int16)
    for dim in (1, 2):
        least_BHW = _spread(least_BHW, torch.minimum, kernel // 2, dim)
        most_BHW = _spread(most_BHW, torch.maximum, kernel // 2, dim)
    valid_BHW = least_BHW >= 0
    return valid_BHW & (least_BHW < most_BHW), valid_BHW


def _spread(labels_BHW: Tensor, extreme: Any, reach: int, dim: int) -> Tensor:
    """The extreme label within reach along one dimension."""
    length = labels_BHW.shape[dim]
    found_BHW = labels_BHW.clone()
    for shift in range(1, min(reach, length - 1) + 1):
        for to, origin in ((0, shift), (shift, 0)):
            part = found_BHW.narrow(dim, to, length - shift)
            part.copy_(extreme(part, labels_BHW.narrow(dim, origin, length - shift)))
    return found_BHW


def sparse_distances(
    loss: Cpg, probabilities_BCHW: Tensor, labels_BHW: Tensor, index_N: Tensor
) -> tuple[Tensor, Tensor]:
    """The sum of 1 - similarity over the pairs, and their number, from the pixels (flat index) at boundaries alone."""
    num_classes, height, width = probabilities_BCHW.shape[1:]
    weights_2K = sobel_weights(loss.kernel).to(probabilities_BCHW).flatten(1)
    image_N, place_KN = _window_places(index_N, loss.kernel, height, width)
    labels_KN = labels_BHW.flatten().take(image_N * (height * width) + place_KN)
    down_NC, right_NC = (
        probabilities_BCHW.new_zeros(index_N.numel(), num_classes).scatter_add_(
            1, labels_KN.T, w_K.expand_as(labels_KN.T)
        )
        for w_K in weights_2K
    )
    pair_M = ((down_NC != 0) | (right_NC != 0)).flatten().nonzero().squeeze(1)
    pixel_M, class_M = pair_M // num_classes, pair_M % num_classes
    base_M = (image_N.take(pixel_M) * num_classes + class_M) * (height * width)
    from_KM = place_KN.index_select(1, pixel_M).add_(base_M)
    found_KM = probabilities_BCHW.flatten().index_select(0, from_KM.flatten()).view(from_KM.shape)
    found_2M = torch.stack([(w_K.unsqueeze(1) * found_KM).sum(0) for w_K in weights_2K])
    similarity_M = SIMILARITIES[loss.similarity](found_2M, torch.stack((down_NC.take(pair_M), right_NC.take(pair_M))))
    return (1 - similarity_M).sum(), torch.tensor(pair_M.numel())


def _window_places(index_N: Tensor, kernel: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The image of each pixel, and where in it the pixels of its window are; outside, the nearest inside."""
    offsets_k1 = torch.arange(kernel).unsqueeze(1) - kernel // 2
    rows_kN = (index_N // width % height + offsets_k1).clamp_(0, height - 1)
    columns_kN = (index_N % width + offsets_k1).clamp_(0, width - 1)
    return index_N // (height * width), (rows_kN.unsqueeze(1) * width + columns_kN).flatten(0, 1)


def dense_distances(
    loss: Cpg, probabilities_BCHW: Tensor, labels_B1HW: Tensor, valid_B1HW: Tensor, first_class: int = 0
) -> tuple[Tensor, Tensor]:
    """The same sum and number, from every pixel, for the classes from first_class on."""
    classes_C11 = torch.arange(first_class, first_class + probabilities_BCHW.shape[1], device=labels_B1HW.device)
    labels_BCHW = (labels_B1HW == classes_C11.view(-1, 1, 1)).to(probabilities_BCHW.dtype)
    truth_2BCHW = sobel(labels_BCHW, loss.kernel)
    counted_BCHW = (truth_2BCHW != 0).any(0) & valid_B1HW
    # an inner where, too: what is not counted must not divide by 0 on the way back
    truth_2BCHW = truth_2BCHW.where(counted_BCHW, 1)
    similarity_BCHW = SIMILARITIES[loss.similarity](sobel(probabilities_BCHW, loss.kernel), truth_2BCHW)
    return (1 - similarity_BCHW).where(counted_BCHW, 0).sum(), counted_BCHW.sum()


class _ChunkedDistances(torch.autograd.Function):
    """`dense_distances` of a few classes of an image at a time, with their gradients: a CPU works in its cache, and
    no more than one tensor of the probabilities' size is kept."""

    @staticmethod
    def forward(
        ctx: Any, loss: Cpg, probabilities_BCHW: Tensor, labels_BHW: Tensor, valid_BHW: Tensor
    ) -> tuple[Tensor, Tensor]:
        grad_BCHW = torch.empty_like(probabilities_BCHW)
        total, count = probabilities_BCHW.new_zeros(()), torch.zeros((), dtype=torch.long, device=labels_BHW.device)
        step = max((CPU_CHUNK if labels_BHW.device.type == "cpu" else GPU_CHUNK) // labels_BHW[0].numel(), 1)
        for image in range(len(labels_BHW)):
            for first in range(0, probabilities_BCHW.shape[1], step):
                part = (slice(image, image + 1), slice(first, first + step))
                with torch.enable_grad():
                    leaf_1CHW = probabilities_BCHW[part].detach().requires_grad_()
                    beside = labels_BHW[part[0], None], valid_BHW[part[0], None]
                    part_total, part_count = dense_distances(loss, leaf_1CHW, *beside, first)
                (grad_BCHW[part],) = torch.autograd.grad(part_total, leaf_1CHW)
                total += part_total.detach()
                count += part_count
        ctx.save_for_backward(grad_BCHW)
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[None, Tensor, None, None]:
        return None, grad * ctx.saved_tensors[0], None, None


def sobel_weights(kernel: int) -> Tensor:
    """Sobel along height and width, [2, kernel, kernel], float64: central differences, smoothed binomially."""
    smooth = torch.tensor([comb(kernel - 1, k) for k in range(kernel)], dtype=torch.float64) / 2 ** (kernel - 1)
    inner = torch.tensor([comb(kernel - 3, k) for k in range(kernel - 2)], dtype=torch.float64) / 2 ** (kernel - 3)
    slope = (F.pad(inner, (2, 0)) - F.pad(inner, (0, 2))) / 2
    return torch.stack((torch.outer(slope, smooth), torch.outer(smooth, slope)))


def sobel(maps_BCHW: Tensor, kernel: int) -> Tensor:
    """Gradients along height and width with `sobel_weights` and replicated borders, [2, B, C, H, W].

    A Sobel gradient is the pair of diagonal differences, turned by 45 degrees, of means over 2x2 pixels. By slices and
    sums: convolutions may round to TF32 or half precision, and then flat regions have gradients.
    """
    reach = kernel // 2
    maps_BCHW = F.pad(maps_BCHW, (reach, reach, reach, reach), mode="replicate")
    for _ in range(kernel - 2):
        maps_BCHW = maps_BCHW[..., 1:, :] + maps_BCHW[..., :-1, :]
        maps_BCHW = (maps_BCHW[..., 1:] + maps_BCHW[..., :-1]) / 4
    falling_BCHW = (maps_BCHW[..., 1:, 1:] - maps_BCHW[..., :-1, :-1]) / 2
    rising_BCHW = (maps_BCHW[..., 1:, :-1] - maps_BCHW[..., :-1, 1:]) / 2
    return torch.stack((falling_BCHW + rising_BCHW, falling_BCHW - rising_BCHW))


def dice(found_2N: Tensor, truth_2N: Tensor) -> Tensor:
    """2<a, b> / (|a|^2 + |b|^2); b is not 0."""
    return 2 * (found_2N * truth_2N).sum(0) / (found_2N.square() + truth_2N.square()).sum(0)


def cosine(found_2N: Tensor, truth_2N: Tensor) -> Tensor:
    """<a, b> / (|a| |b|), finite also for a = 0; b is not 0."""
    squares_N = (found_2N.square().sum(0) + EPSILON) * truth_2N.square().sum(0)
    return (found_2N * truth_2N).sum(0) / squares_N.sqrt()


SIMILARITIES = {"dice": dice, "cosine": cosine}
