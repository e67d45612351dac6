"""The per-pixel map that the weighting losses share."""

import torch
from torch import Tensor
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
