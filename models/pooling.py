"""Average pooling to a fixed grid, for sizes that the graph does not know."""

import torch
from torch import Tensor, nn


class GridPool(nn.Module):
    """What nn.AdaptiveAvgPool2d(size) computes, as two matrix products.

    That operator has no ONNX form for a height and width that are not known; this one exports, and TensorRT builds it.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps_BChw: Tensor) -> Tensor:
        height, width = maps_BChw.shape[-2:]
        return shares(self.size, height, maps_BChw) @ maps_BChw @ shares(self.size, width, maps_BChw).T


def shares(cells: int, length: int, like: Tensor) -> Tensor:
    """The share of each pixel in each cell's mean, [cells, length], on the device and of the dtype of `like`.

    Cell i covers the pixels from floor(i * length / cells) to below ceil((i + 1) * length / cells).
    """
    cell_c1 = torch.arange(cells, device=like.device)[:, None]
    pixel_p = torch.arange(length, device=like.device)
    # products instead of quotients: TensorRT-RTX fails on an integer division here
    inside_cp = ((pixel_p + 1) * cells > cell_c1 * length) & (pixel_p * cells < (cell_c1 + 1) * length)
    weight_cp = inside_cp.to(like.dtype)
    return weight_cp / weight_cp.sum(1, keepdim=True)
