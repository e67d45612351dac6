"""STDC1 and STDC2 with their segmentation head (arXiv 2104.13188), with the state keys of MichaelFan01/STDC-Seg.

The released files hold every tensor of the backbone's stages twice (`features` and `x2` to `x32`), and a classifier
that segmentation never calls; here is each once, under `features`. The auxiliary and detail heads are for training and
are not in the network: `auxiliary` and `detail` of the architecture say where they read.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.segmenter import at_size_of

BASE = 64
# blocks at strides 8, 16 and 32
STDC1_BLOCKS, STDC2_BLOCKS = (2, 2, 2), (4, 5, 3)
CONTEXT, FUSED, SIDE = 128, 256, 64
WIDTHS = (4 * BASE, 8 * BASE, 16 * BASE)


class ConvBnRelu(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, inner: int, outer: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outer)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(maps_BChw)))


class DenseBlock(nn.Module):
    """A short-term dense concatenation: four convolutions, each of half the width; what every one gives is kept.

    With stride 2 a depthwise convolution halves the map before the second, and pooling the first one's.
    """

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        first, second, third = outer // 2, outer // 4, outer // 8
        self.conv_list = nn.ModuleList(
            (
                ConvBnRelu(inner, first, kernel=1),
                ConvBnRelu(first, second),
                ConvBnRelu(second, third),
                ConvBnRelu(third, third),
            )
        )
        self.avd_layer: nn.Module = nn.Identity()
        self.skip: nn.Module = nn.Identity()
        if stride == 2:
            halved = nn.Conv2d(first, first, 3, stride=2, padding=1, groups=first, bias=False)
            self.avd_layer = nn.Sequential(halved, nn.BatchNorm2d(first))
            self.skip = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        first_BChw = self.conv_list[0](maps_BChw)
        kept, last_BChw = [self.skip(first_BChw)], self.avd_layer(first_BChw)
        for convolution in self.conv_list[1:]:
            last_BChw = convolution(last_BChw)
            kept.append(last_BChw)
        return torch.cat(kept, 1)


class Backbone(nn.Module):
    """Images to maps at strides 8, 16 and 32."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        stem = [ConvBnRelu(3, BASE // 2, stride=2), ConvBnRelu(BASE // 2, BASE, stride=2)]
        layers: list[nn.Module] = []
        inner = BASE
        for width, count in zip(WIDTHS, blocks, strict=True):
            layers += [DenseBlock(inner, width, stride=2), *(DenseBlock(width, width, 1) for _ in range(1, count))]
            inner = width
        self.features = nn.Sequential(*stem, *layers)
        self.ends = [len(stem) + sum(blocks[: number + 1]) for number in range(len(blocks))]

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        maps, last_BChw = [], images_BCHW
        for number, layer in enumerate(self.features, 1):
            last_BChw = layer(last_BChw)
            if number in self.ends:
                maps.append(last_BChw)
        return maps


class AttentionRefinement(nn.Module):
    """A 3x3 convolution whose channels are gated by their own means."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inner, outer)
        self.conv_atten = nn.Conv2d(outer, outer, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outer)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        maps_BChw = self.conv(maps_BChw)
        gate_BC11: Tensor = self.bn_atten(self.conv_atten(maps_BChw.mean((2, 3), keepdim=True))).sigmoid()
        return maps_BChw * gate_BC11


class ContextPath(nn.Module):
    """The backbone and the way back to stride 8; the maps by name.

    `x8` is the backbone's own map at stride 8; `context16` and `context8` come from the deep ones, at strides 16 and 8.
    """

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone = Backbone(blocks)
        self.arm16 = AttentionRefinement(WIDTHS[1], CONTEXT)
        self.arm32 = AttentionRefinement(WIDTHS[2], CONTEXT)
        self.conv_head32 = ConvBnRelu(CONTEXT, CONTEXT)
        self.conv_head16 = ConvBnRelu(CONTEXT, CONTEXT)
        self.conv_avg = ConvBnRelu(WIDTHS[2], CONTEXT, kernel=1)

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        x8_BChw, x16_BChw, x32_BChw = self.backbone(images_BCHW)
        mean_BC11 = self.conv_avg(x32_BChw.mean((2, 3), keepdim=True))
        deep_BChw = _nearest(self.arm32(x32_BChw) + mean_BC11, x16_BChw)
        context16_BChw = self.conv_head32(deep_BChw)
        deep_BChw = _nearest(self.arm16(x16_BChw) + context16_BChw, x8_BChw)
        return {"x8": x8_BChw, "context16": context16_BChw, "context8": self.conv_head16(deep_BChw)}


def _nearest(maps_BChw: Tensor, other_BChw: Tensor) -> Tensor:
    return F.interpolate(maps_BChw, size=other_BChw.shape[-2:], mode="nearest")


class FeatureFusion(nn.Module):
    """Two maps of one size side by side, a 1x1 convolution, and channels that are raised by their own means."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.convblk = ConvBnRelu(inner, outer, kernel=1)
        self.conv1 = nn.Conv2d(outer, outer // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outer // 4, outer, 1, bias=False)

    def forward(self, fine_BChw: Tensor, context_BChw: Tensor) -> Tensor:
        fused_BChw: Tensor = self.convblk(torch.cat([fine_BChw, context_BChw], 1))
        gate_BC11: Tensor = self.conv2(F.relu(self.conv1(fused_BChw.mean((2, 3), keepdim=True)))).sigmoid()
        return fused_BChw * gate_BC11 + fused_BChw


class Head(nn.Module):
    """A 3x3 convolution to `width` channels and a 1x1 one to logits, at the map's own size."""

    def __init__(self, inner: int, width: int, channels: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inner, width)
        self.conv_out = nn.Conv2d(width, channels, 1, bias=False)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        logits_BChw: Tensor = self.conv_out(self.conv(maps_BChw))
        return logits_BChw


class Stdc(nn.Module):
    """The network; `ffm` gives the map that the decode head reads, `cp` those of the training's heads."""

    def __init__(self, blocks: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.cp = ContextPath(blocks)
        self.ffm = FeatureFusion(WIDTHS[0] + CONTEXT, FUSED)
        self.conv_out = head(num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps = self.cp(images_BCHW)
        logits_BChw = self.conv_out(self.ffm(maps["x8"], maps["context8"]))
        return at_size_of(logits_BChw, images_BCHW, align_corners=True)


def head(channels: int) -> Head:
    """A decode head on the map of `ffm`; logits at stride 8."""
    return Head(FUSED, FUSED, channels)


class AuxiliaryHeads(nn.Module):
    """The auxiliary heads of the training, at strides 8 and 16; two maps of logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv_out16 = Head(CONTEXT, SIDE, num_classes)
        self.conv_out32 = Head(CONTEXT, SIDE, num_classes)

    def forward(self, maps: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.conv_out16(maps["context8"]), self.conv_out32(maps["context16"])


class DetailHead(nn.Module):
    """The detail head of the training, on the backbone's map at stride 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_out_sp8 = Head(WIDTHS[0], SIDE, channels)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        detail_B1hw: Tensor = self.conv_out_sp8(maps["x8"])
        return detail_B1hw


def _stdc(name: str, blocks: tuple[int, ...]) -> Architecture:
    return Architecture(
        name=name,
        build=partial(Stdc, blocks),
        tap="ffm",
        head=head,
        auxiliary=Auxiliary("cp", AuxiliaryHeads),
        detail=Auxiliary("cp", DetailHead),
        backbone="cp.backbone",
    )


STDC1 = _stdc("stdc1", STDC1_BLOCKS)
STDC2 = _stdc("stdc2", STDC2_BLOCKS)
