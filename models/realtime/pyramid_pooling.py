"""Pyramid pooling on the deepest map: DDRNet's in a cascade (DAPPM), PIDNet's in parallel (PAPPM), with their keys."""

import torch
from torch import Tensor, nn

from hardedge.models.segmenter import at_size_of

# kernel and stride of the pooled scales; the last scale is the whole map's mean
POOLS = ((5, 2), (9, 4), (17, 8))
SCALES = 5


class PyramidPooling(nn.Module):
    """What both have: the map at five scales, and a shortcut.

    `scale0` is the map itself, `scale1` to `scale3` are pooled with growing kernels, `scale4` is its mean.
    """

    def __init__(self, inner: int, width: int, outer: int) -> None:
        super().__init__()
        self.scale0 = activated(inner, width)
        for number, (kernel, stride) in enumerate(POOLS, 1):
            pool = nn.AvgPool2d(kernel, stride, padding=kernel // 2)
            self.add_module(f"scale{number}", nn.Sequential(pool, *activated(inner, width)))
        self.scale4 = nn.Sequential(nn.AdaptiveAvgPool2d(1), *activated(inner, width))
        self.compression = activated(SCALES * width, outer)
        self.shortcut = activated(inner, outer)

    def pooled(self, maps_BChw: Tensor) -> list[Tensor]:
        """The scales from 1 on, each at the map's size."""
        scales = (self.get_submodule(f"scale{number}") for number in range(1, SCALES))
        return [at_size_of(scale(maps_BChw), maps_BChw) for scale in scales]


class Cascade(PyramidPooling):
    """DAPPM: each scale is added to the one before it, and a 3x3 convolution mixes the sum."""

    def __init__(self, inner: int, width: int, outer: int) -> None:
        super().__init__(inner, width, outer)
        for number in range(1, SCALES):
            self.add_module(f"process{number}", activated(width, width, kernel=3))

    def forward(self, maps_BChw: Tensor) -> Tensor:
        mixed = [self.scale0(maps_BChw)]
        for number, pooled_BChw in enumerate(self.pooled(maps_BChw), 1):
            mixed.append(self.get_submodule(f"process{number}")(pooled_BChw + mixed[-1]))
        compressed_BChw: Tensor = self.compression(torch.cat(mixed, 1)) + self.shortcut(maps_BChw)
        return compressed_BChw


class Parallel(PyramidPooling):
    """PAPPM: every scale is added to the map itself, and one grouped 3x3 convolution mixes the four sums."""

    def __init__(self, inner: int, width: int, outer: int) -> None:
        super().__init__(inner, width, outer)
        pooled = SCALES - 1
        self.scale_process = activated(pooled * width, pooled * width, kernel=3, groups=pooled)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        own_BChw = self.scale0(maps_BChw)
        sums = [pooled_BChw + own_BChw for pooled_BChw in self.pooled(maps_BChw)]
        mixed_BChw = self.scale_process(torch.cat(sums, 1))
        compressed_BChw: Tensor = self.compression(torch.cat([own_BChw, mixed_BChw], 1)) + self.shortcut(maps_BChw)
        return compressed_BChw


def activated(inner: int, outer: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    """BatchNorm, ReLU and a convolution."""
    convolution = nn.Conv2d(inner, outer, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(nn.BatchNorm2d(inner), nn.ReLU(), convolution)
