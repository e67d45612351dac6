"""BiSeNetV2 as CoinCheung/BiSeNet has it, with its state keys.

It differs from the paper's (bisenetv2.py) in what the paper leaves open or shows otherwise: BatchNorm and ReLU behind
the context's last convolution and behind the aggregation, and resizes to the nearest pixel inside the aggregation.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.architecture import Architecture
from hardedge.models.realtime.residual import projection
from hardedge.models.realtime.stdc import ConvBnRelu
from hardedge.models.segmenter import at_size_of

WIDE = 128
EXPANSION = 6
HEAD = 1024
DROPOUT = 0.1


def _depthwise(inner: int, outer: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inner, outer, 3, stride, padding=1, groups=inner, bias=False), nn.BatchNorm2d(outer)


class Detail(nn.Module):
    """Images to maps of 128 channels at stride 8."""

    def __init__(self) -> None:
        super().__init__()
        self.S1 = nn.Sequential(ConvBnRelu(3, 64, stride=2), ConvBnRelu(64, 64))
        self.S2 = nn.Sequential(ConvBnRelu(64, 64, stride=2), ConvBnRelu(64, 64), ConvBnRelu(64, 64))
        self.S3 = nn.Sequential(ConvBnRelu(64, WIDE, stride=2), ConvBnRelu(WIDE, WIDE), ConvBnRelu(WIDE, WIDE))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps_BChw: Tensor = self.S3(self.S2(self.S1(images_BCHW)))
        return maps_BChw


class Stem(nn.Module):
    """Images to 16 channels at stride 4, by a convolution and by pooling at once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvBnRelu(3, 16, stride=2)
        self.left = nn.Sequential(ConvBnRelu(16, 8, kernel=1), ConvBnRelu(8, 16, stride=2))
        self.fuse = ConvBnRelu(32, 16)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps_BChw = self.conv(images_BCHW)
        pooled_BChw = F.max_pool2d(maps_BChw, 3, stride=2, padding=1)
        mixed_BChw: Tensor = self.fuse(torch.cat([self.left(maps_BChw), pooled_BChw], 1))
        return mixed_BChw


class GatherExpand(nn.Module):
    """The gather-and-expansion layer at stride 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.conv1 = ConvBnRelu(channels, channels)
        self.dwconv = nn.Sequential(*_depthwise(channels, wide), nn.ReLU())
        self.conv2 = projection(wide, channels)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        return F.relu(self.conv2(self.dwconv(self.conv1(maps_BChw))) + maps_BChw)


class GatherExpandHalved(nn.Module):
    """The gather-and-expansion layer at stride 2."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        wide = EXPANSION * inner
        self.conv1 = ConvBnRelu(inner, inner)
        self.dwconv1 = nn.Sequential(*_depthwise(inner, wide, stride=2))
        self.dwconv2 = nn.Sequential(*_depthwise(wide, wide), nn.ReLU())
        self.conv2 = projection(wide, outer)
        self.shortcut = nn.Sequential(*_depthwise(inner, inner, stride=2), *projection(inner, outer))

    def forward(self, maps_BChw: Tensor) -> Tensor:
        expanded_BChw = self.dwconv2(self.dwconv1(self.conv1(maps_BChw)))
        return F.relu(self.conv2(expanded_BChw) + self.shortcut(maps_BChw))


class Context(nn.Module):
    """The image's mean added to every pixel, then a 3x3 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(WIDE)
        self.conv_gap = ConvBnRelu(WIDE, WIDE, kernel=1)
        self.conv_last = ConvBnRelu(WIDE, WIDE)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        mean_BC11 = self.conv_gap(self.bn(maps_BChw.mean((2, 3), keepdim=True)))
        mixed_BChw: Tensor = self.conv_last(maps_BChw + mean_BC11)
        return mixed_BChw


class Semantic(nn.Module):
    """Images to maps of 128 channels at stride 32."""

    def __init__(self) -> None:
        super().__init__()
        self.S1S2 = Stem()
        self.S3 = nn.Sequential(GatherExpandHalved(16, 32), GatherExpand(32))
        self.S4 = nn.Sequential(GatherExpandHalved(32, 64), GatherExpand(64))
        self.S5_4 = nn.Sequential(GatherExpandHalved(64, WIDE), *(GatherExpand(WIDE) for _ in range(3)))
        self.S5_5 = Context()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps_BChw: Tensor = self.S5_5(self.S5_4(self.S4(self.S3(self.S1S2(images_BCHW)))))
        return maps_BChw


class Aggregation(nn.Module):
    """Bilateral guided aggregation: each branch's maps are gated by the other's at the other's scale."""

    def __init__(self) -> None:
        super().__init__()
        self.left1 = nn.Sequential(*_depthwise(WIDE, WIDE), nn.Conv2d(WIDE, WIDE, 1, bias=False))
        self.left2 = nn.Sequential(*projection(WIDE, WIDE, 3, stride=2), nn.AvgPool2d(3, stride=2, padding=1))
        self.right1 = projection(WIDE, WIDE, 3)
        self.right2 = nn.Sequential(*_depthwise(WIDE, WIDE), nn.Conv2d(WIDE, WIDE, 1, bias=False))
        self.conv = nn.Sequential(*projection(WIDE, WIDE, 3), nn.ReLU())

    def forward(self, detail_BChw: Tensor, semantic_BChw: Tensor) -> Tensor:
        fine_BChw = self.left1(detail_BChw) * _nearest(self.right1(semantic_BChw), detail_BChw).sigmoid()
        coarse_BChw = self.left2(detail_BChw) * self.right2(semantic_BChw).sigmoid()
        mixed_BChw: Tensor = self.conv(fine_BChw + _nearest(coarse_BChw, detail_BChw))
        return mixed_BChw


def _nearest(maps_BChw: Tensor, other_BChw: Tensor) -> Tensor:
    return F.interpolate(maps_BChw, size=other_BChw.shape[-2:], mode="nearest")


class Head(nn.Module):
    """A decode head on the aggregated maps; logits at stride 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(WIDE, HEAD)
        self.drop = nn.Dropout(DROPOUT)
        # numbered as in the release, where a part of its auxiliary heads is the first
        self.conv_out = nn.Sequential(nn.Identity(), nn.Conv2d(HEAD, channels, 1))

    def forward(self, maps_BChw: Tensor) -> Tensor:
        logits_BChw: Tensor = self.conv_out(self.drop(self.conv(maps_BChw)))
        return logits_BChw


class BiSeNetV2(nn.Module):
    """The network; `bga` gives the map that the decode head reads."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.detail = Detail()
        self.segment = Semantic()
        self.bga = Aggregation()
        self.head = Head(num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        mixed_BChw = self.bga(self.detail(images_BCHW), self.segment(images_BCHW))
        return at_size_of(self.head(mixed_BChw), images_BCHW)


BISENETV2_COINCHEUNG = Architecture(name="bisenetv2_coincheung", build=BiSeNetV2, tap="bga", head=Head)
