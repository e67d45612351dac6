"""Fast-SCNN (arXiv 1902.04502), with the state keys of Tramac/Fast-SCNN-pytorch.

The maps of three quick strides are used twice: by the deep branch, and beside what it returns.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.pooling import GridPool
from hardedge.models.segmenter import at_size_of

EARLY = (32, 48, 64)
DEEP = (64, 96, 128)
BLOCKS = 3
EXPANSION = 6
GRIDS = (1, 2, 3, 6)
FUSED = 128
AUXILIARY = 32
DROPOUT = 0.1


class Conv(nn.Module):
    """Convolutions, each with BatchNorm and ReLU; they are numbered under `conv`."""

    def __init__(self, *layers: nn.Conv2d) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for layer in layers:
            self.conv.extend((layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()))

    def forward(self, maps_BChw: Tensor) -> Tensor:
        out_BChw: Tensor = self.conv(maps_BChw)
        return out_BChw


def _pointwise(inner: int, outer: int) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, 1, bias=False)


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


def _separable(inner: int, outer: int, stride: int = 1) -> Conv:
    return Conv(_depthwise(inner, stride), _pointwise(inner, outer))


class Downsample(nn.Module):
    """Images to maps of 64 channels at stride 8."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = EARLY
        # without padding, as in the release: the map is one short at its end
        self.conv = Conv(nn.Conv2d(3, first, 3, stride=2, bias=False))
        self.dsconv1 = _separable(first, second, stride=2)
        self.dsconv2 = _separable(second, third, stride=2)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps_BChw: Tensor = self.dsconv2(self.dsconv1(self.conv(images_BCHW)))
        return maps_BChw


class InvertedBottleneck(nn.Module):
    """1x1 to six times the channels, depthwise 3x3, 1x1 back; a shortcut where the shape stays."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * inner
        layers = (_pointwise(wide, outer), nn.BatchNorm2d(outer))
        self.block = nn.Sequential(Conv(_pointwise(inner, wide)), Conv(_depthwise(wide, stride)), *layers)
        self.shortcut = stride == 1 and inner == outer

    def forward(self, maps_BChw: Tensor) -> Tensor:
        out_BChw: Tensor = self.block(maps_BChw)
        return maps_BChw + out_BChw if self.shortcut else out_BChw


class PooledPyramid(nn.Module):
    """The map beside its means in four grids, resized back; a 1x1 convolution mixes them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(GridPool(grid) for grid in GRIDS)
        for number in range(1, len(GRIDS) + 1):
            self.add_module(f"conv{number}", Conv(_pointwise(channels, channels // len(GRIDS))))
        self.out = Conv(_pointwise(2 * channels, channels))

    def forward(self, maps_BChw: Tensor) -> Tensor:
        pooled = [self.get_submodule(f"conv{number}")(pool(maps_BChw)) for number, pool in enumerate(self.pools, 1)]
        resized = [at_size_of(map_BChw, maps_BChw, align_corners=True) for map_BChw in pooled]
        mixed_BChw: Tensor = self.out(torch.cat([maps_BChw, *resized], 1))
        return mixed_BChw


class GlobalFeatures(nn.Module):
    """From the maps at stride 8 to 128 channels at stride 32, with the pooled pyramid."""

    def __init__(self) -> None:
        super().__init__()
        inner = EARLY[-1]
        for number, (outer, stride) in enumerate(zip(DEEP, (2, 2, 1), strict=True), 1):
            rest = (InvertedBottleneck(outer, outer, 1) for _ in range(1, BLOCKS))
            self.add_module(f"bottleneck{number}", nn.Sequential(InvertedBottleneck(inner, outer, stride), *rest))
            inner = outer
        self.ppm = PooledPyramid(DEEP[-1])

    def forward(self, maps_BChw: Tensor) -> Tensor:
        for number in range(1, len(DEEP) + 1):
            maps_BChw = self.get_submodule(f"bottleneck{number}")(maps_BChw)
        pooled_BChw: Tensor = self.ppm(maps_BChw)
        return pooled_BChw


class FeatureFusion(nn.Module):
    """The sum of the fine map and of the deep one at its size, each convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.dwconv = Conv(_depthwise(DEEP[-1]))
        self.conv_lower_res = nn.Sequential(nn.Conv2d(FUSED, FUSED, 1), nn.BatchNorm2d(FUSED))
        self.conv_higher_res = nn.Sequential(nn.Conv2d(EARLY[-1], FUSED, 1), nn.BatchNorm2d(FUSED))

    def forward(self, fine_BChw: Tensor, deep_BChw: Tensor) -> Tensor:
        deep_BChw = self.conv_lower_res(self.dwconv(at_size_of(deep_BChw, fine_BChw, align_corners=True)))
        return F.relu(self.conv_higher_res(fine_BChw) + deep_BChw)


class Head(nn.Module):
    """Two separable convolutions and a 1x1 one to logits, at the map's own size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dsconv1 = _separable(FUSED, FUSED)
        self.dsconv2 = _separable(FUSED, FUSED)
        self.conv = nn.Sequential(nn.Dropout(DROPOUT), nn.Conv2d(FUSED, channels, 1))

    def forward(self, maps_BChw: Tensor) -> Tensor:
        logits_BChw: Tensor = self.conv(self.dsconv2(self.dsconv1(maps_BChw)))
        return logits_BChw


class FastScnn(nn.Module):
    """The network; `feature_fusion` gives the map that the decode head reads."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.learning_to_downsample = Downsample()
        self.global_feature_extractor = GlobalFeatures()
        self.feature_fusion = FeatureFusion()
        self.classifier = Head(num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        fine_BChw = self.learning_to_downsample(images_BCHW)
        mixed_BChw = self.feature_fusion(fine_BChw, self.global_feature_extractor(fine_BChw))
        return at_size_of(self.classifier(mixed_BChw), images_BCHW, align_corners=True)


class AuxiliaryHead(nn.Module):
    """The auxiliary head of the training, on the maps at stride 8."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers = (nn.Conv2d(EARLY[-1], AUXILIARY, 3, padding=1, bias=False), nn.BatchNorm2d(AUXILIARY), nn.ReLU())
        self.auxlayer = nn.Sequential(*layers, nn.Dropout(DROPOUT), nn.Conv2d(AUXILIARY, num_classes, 1))

    def forward(self, maps_BChw: Tensor) -> tuple[Tensor]:
        return (self.auxlayer(maps_BChw),)


FAST_SCNN = Architecture(
    name="fast_scnn",
    build=FastScnn,
    tap="feature_fusion",
    head=Head,
    auxiliary=Auxiliary("learning_to_downsample", AuxiliaryHead),
)
