"""What the losses share: outputs at the size of the labels, the cross-entropy map, sums over processes."""

from typing import Any

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


def processes(sync: bool) -> int:
    """How many processes train together; 1 without `sync` or outside torch.distributed."""
    return distributed.get_world_size() if sync and distributed.is_initialized() else 1


def summed(value: Tensor, sync: bool) -> Tensor:
    """The value summed over the processes that train together, differentiably; as it is without `sync`.

    A loss whose denominator is `summed(count, sync) / processes(sync)` gives, after the mean over processes that
    DistributedDataParallel takes of the gradients, the gradient of the loss over all processes' pixels.
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
