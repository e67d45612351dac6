"""Which pixels are at the boundaries of a label map, as a band or at several scales; on the labels' device."""

import torch
from torch import Tensor
from torch.nn import functional as F


def boundary_band(target_BHW: Tensor, radius: int, ignore_index: int) -> Tensor:
    """The labelled pixels with another class at most `radius` pixels away, in rows and columns; bool [B, H, W].

    A straight boundary has `radius` pixels of the band on either side. Ignored pixels are no class.
    """
    labelled_BHW = target_BHW != ignore_index
    highest_BHW = _highest(target_BHW.where(labelled_BHW, -torch.inf), radius)
    lowest_BHW = -_highest(-target_BHW.where(labelled_BHW, torch.inf), radius)
    return labelled_BHW & (highest_BHW > lowest_BHW)


def _highest(values_BHW: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(values_BHW.float().unsqueeze(1), 2 * radius + 1, stride=1, padding=radius).squeeze(1)


def detail_of(target_BHW: Tensor, ignore_index: int) -> Tensor:
    """The pixels of fine detail, bool [B, H, W]: a labelled neighbour of the eight has another class.

    Also where it is so for the first pixel of their block of 2x2: STDC's pyramid of Laplacians, whose blocks of 4x4
    count too little to pass its threshold.
    """
    return _with_blocks(boundary_band(target_BHW, 1, ignore_index))


def official_detail_of(target_BHW: Tensor) -> Tensor:
    """As the release has it: the Laplacian of the class indices is positive, beyond the image and ignored included.

    A pixel counts where its index is above its neighbours' mean; 0 is beyond the image, and 255 ignored.
    """
    height, width = target_BHW.shape[-2:]
    padded_BHW = F.pad(target_BHW, (1, 1, 1, 1))
    shifts = [(row, column) for row in range(3) for column in range(3)]
    sum_BHW = torch.stack([padded_BHW[:, row : row + height, col : col + width] for row, col in shifts]).sum(0)
    return _with_blocks(len(shifts) * target_BHW > sum_BHW)


def _with_blocks(found_BHW: Tensor) -> Tensor:
    height, width = found_BHW.shape[-2:]
    first_Bhw = found_BHW[:, ::2, ::2]
    blocks_BHW = first_Bhw.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]
    return found_BHW | blocks_BHW
