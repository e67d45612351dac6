"""What the losses share: outputs at the labels' size, the cross-entropy map, its means, sums over processes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional as F


def at_target_size(output_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
    """The output in float32 (or wider, if it is) at the target's height and width, resized bilinearly."""
    # half precision cannot hold a sum over a batch of pixels
    wide_BCHW = output_BCHW.to(torch.promote_types(output_BCHW.dtype, torch.float32))
    if wide_BCHW.shape[-2:] == target_BHW.shape[-2:]:
        return wide_BCHW
    return F.interpolate(wide_BCHW, size=target_BHW.shape[-2:], mode="bilinear", align_corners=False)


def cross_entropy_map(logits_BCHW: Tensor, target_BHW: Tensor, ignore_index: int) -> Tensor:
    """Cross-entropy of each pixel, [B, H, W]; 0 where the target is ignore_index."""
    logits_BCHW = at_target_size(logits_BCHW, target_BHW)
    return F.cross_entropy(logits_BCHW, target_BHW, ignore_index=ignore_index, reduction="none")


def mean_over_labelled(values_BHW: Tensor, target_BHW: Tensor, ignore_index: int, sync: bool = False) -> Tensor:
    """The mean over the labelled pixels of the batch, of all processes' batches with `sync`; ignored values are 0."""
    count = sum_with_gradients((target_BHW != ignore_index).sum(), sync)
    # a crop may have no labels
    return values_BHW.sum() * processes(sync) / count.clamp_min(1)


def weighted_sum(weights_BHW: Tensor, loss_BHW: Tensor) -> Tensor:
    """sum(weights * loss), without the product's map."""
    return torch.dot(weights_BHW.reshape(-1), loss_BHW.reshape(-1))


def class_or_last(target_BHW: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Each pixel's class; num_classes where it is ignored."""
    return target_BHW.where(target_BHW != ignore_index, num_classes)


def class_counts(index_BHW: Tensor, size: int) -> Tensor:
    """How often each of 0..size-1 occurs, int64 [size]; torch.bincount makes the host wait for the GPU."""
    index_NW = index_BHW.flatten(0, 1)
    # each column counts by itself: a GPU's threads would queue for few counters
    counts_SW = index_NW.new_zeros(size, index_NW.shape[1])
    return counts_SW.scatter_add_(0, index_NW, torch.ones_like(index_NW)).sum(1)


def sort_ascending(values_N: Tensor) -> Tensor:
    """The values sorted, without a gradient."""
    if values_N.device.type == "cpu" and not torch.compiler.is_compiling():
        # torch sorts indices along, which takes 20 times as long
        return torch.from_numpy(np.sort(values_N.detach().numpy()))
    return values_N.detach().sort().values


def one_hot(target_BHW: Tensor, ignore_index: int, like_BCHW: Tensor) -> Tensor:
    """1 at each labelled pixel's class, else 0, in the shape and dtype of like_BCHW."""
    valid_B1HW = (target_BHW != ignore_index).unsqueeze(1)
    index_B1HW = target_BHW.unsqueeze(1).where(valid_B1HW, 0)
    return torch.zeros_like(like_BCHW).scatter_(1, index_B1HW, valid_B1HW.to(like_BCHW.dtype))


def processes(sync: bool) -> int:
    """How many processes train together; 1 without `sync` or outside torch.distributed."""
    return distributed.get_world_size() if sync and distributed.is_initialized() else 1


def sum_with_gradients(value: Tensor, sync: bool) -> Tensor:
    """The value summed over the processes that train together, differentiably; as it is without `sync`.

    A loss whose denominator is `sum_with_gradients(count, sync) / processes(sync)` gives, after the mean over
    processes that DistributedDataParallel takes of the gradients, the gradient of the loss over all processes' pixels.
    """
    return _Summed.apply(value) if processes(sync) > 1 else value


class _Summed(torch.autograd.Function):
    """The sum over processes; each one's value is in every one's result, so the gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        distributed.all_reduce(total)
        return total
