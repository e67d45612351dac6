"""Networks as mmsegmentation has them, under its names: ResNetV1c-50 and -101 at stride 8 with four decode heads.

For weights that were trained there: `mmseg_psp_r50` is its `pspnet_r50-d8`. With `_aligned` every resize has
align_corners, as its configurations for crops of 769 have it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.pooling import GridPool
from hardedge.models.segmenter import at_size_of

PREFIX = "mmseg_"
ALIGNED = "_aligned"
# channels of the backbone's maps: of layer1, layer3 and layer4
LOW, MIDDLE, HIGH = 256, 1024, 2048
CHANNELS, LOW_CHANNELS = 512, 48
DILATIONS = (12, 24, 36)
GRIDS = (1, 2, 3, 6)
DROPOUT = 0.1


class ConvModule(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, inner: int, outer: int, kernel: int = 1, dilation: int = 1, groups: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(inner, outer, kernel, padding=padding, dilation=dilation, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outer)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        out_BChw: Tensor = self.bn(self.conv(maps_BChw)).relu()
        return out_BChw


class SeparableConv(nn.Module):
    """A depthwise 3x3 and a pointwise convolution, each with BatchNorm and ReLU."""

    def __init__(self, inner: int, outer: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(inner, inner, 3, dilation, groups=inner)
        self.pointwise_conv = ConvModule(inner, outer)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        out_BChw: Tensor = self.pointwise_conv(self.depthwise_conv(maps_BChw))
        return out_BChw


class ResNetV1c(nn.Module):
    """torchvision's ResNet at stride 8 under three 3x3 convolutions; its maps by the stage, `layer1` to `layer4`."""

    def __init__(self, resnet: str) -> None:
        super().__init__()
        body = get_model(resnet, weights=None, replace_stride_with_dilation=[False, True, True])
        self.stem = nn.Sequential()
        for inner, outer, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 1)):
            convolution = nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False)
            self.stem.extend((convolution, nn.BatchNorm2d(outer), nn.ReLU()))
        self.maxpool = body.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        maps_BChw = self.maxpool(self.stem(images_BCHW))
        maps = {}
        for number in range(1, 5):
            maps_BChw = self.get_submodule(f"layer{number}")(maps_BChw)
            maps[f"layer{number}"] = maps_BChw
        return maps


class Head(nn.Module):
    """What the decode heads have in common: dropout and the classifier `conv_seg`."""

    def __init__(self, channels: int, num_classes: int, aligned: bool) -> None:
        super().__init__()
        self.aligned = aligned
        self.dropout = nn.Dropout2d(DROPOUT)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def classified(self, maps_BChw: Tensor) -> Tensor:
        """The logits of the last map."""
        logits_BChw: Tensor = self.conv_seg(self.dropout(maps_BChw))
        return logits_BChw

    def resized(self, maps_BChw: Tensor, other_BChw: Tensor) -> Tensor:
        """The map at the other's size."""
        return at_size_of(maps_BChw, other_BChw, align_corners=self.aligned)


class FcnHead(Head):
    """Two 3x3 convolutions, and a third on their map beside the backbone's."""

    def __init__(self, num_classes: int, aligned: bool) -> None:
        super().__init__(CHANNELS, num_classes, aligned)
        self.convs = nn.Sequential(ConvModule(HIGH, CHANNELS, 3), ConvModule(CHANNELS, CHANNELS, 3))
        self.conv_cat = ConvModule(HIGH + CHANNELS, CHANNELS, 3)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        high_BChw = maps["layer4"]
        return self.classified(self.conv_cat(torch.cat([high_BChw, self.convs(high_BChw)], 1)))


class PspHead(Head):
    """The map beside its means in four grids, and a 3x3 convolution."""

    def __init__(self, num_classes: int, aligned: bool) -> None:
        super().__init__(CHANNELS, num_classes, aligned)
        self.psp_modules = nn.ModuleList(nn.Sequential(GridPool(grid), ConvModule(HIGH, CHANNELS)) for grid in GRIDS)
        self.bottleneck = ConvModule(HIGH + len(GRIDS) * CHANNELS, CHANNELS, 3)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        high_BChw = maps["layer4"]
        pooled = [self.resized(module(high_BChw), high_BChw) for module in self.psp_modules]
        return self.classified(self.bottleneck(torch.cat([high_BChw, *pooled], 1)))


class AsppHead(Head):
    """Atrous pyramid pooling (DeepLabV3) and a 3x3 convolution."""

    def __init__(self, num_classes: int, aligned: bool) -> None:
        super().__init__(CHANNELS, num_classes, aligned)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(HIGH, CHANNELS))
        rest = (self.atrous(dilation) for dilation in DILATIONS)
        self.aspp_modules = nn.ModuleList([ConvModule(HIGH, CHANNELS), *rest])
        self.bottleneck = self.mixing((len(DILATIONS) + 2) * CHANNELS)

    def atrous(self, dilation: int) -> nn.Module:
        """A convolution with holes."""
        return ConvModule(HIGH, CHANNELS, 3, dilation)

    def mixing(self, inner: int) -> nn.Module:
        """The convolution on all scales."""
        return ConvModule(inner, CHANNELS, 3)

    def pooled(self, high_BChw: Tensor) -> Tensor:
        """The map of all scales."""
        scales = [self.resized(self.image_pool(high_BChw), high_BChw)]
        mixed_BChw: Tensor = self.bottleneck(torch.cat([*scales, *(one(high_BChw) for one in self.aspp_modules)], 1))
        return mixed_BChw

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        return self.classified(self.pooled(maps["layer4"]))


class SeparableAsppHead(AsppHead):
    """DeepLabV3+: the pyramid of separable convolutions, and the backbone's first map beside it."""

    def __init__(self, num_classes: int, aligned: bool) -> None:
        super().__init__(num_classes, aligned)
        self.c1_bottleneck = ConvModule(LOW, LOW_CHANNELS)
        self.sep_bottleneck = nn.Sequential(
            SeparableConv(CHANNELS + LOW_CHANNELS, CHANNELS), SeparableConv(CHANNELS, CHANNELS)
        )

    def atrous(self, dilation: int) -> nn.Module:
        return SeparableConv(HIGH, CHANNELS, dilation)

    def mixing(self, inner: int) -> nn.Module:
        return SeparableConv(inner, CHANNELS)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        low_BChw = self.c1_bottleneck(maps["layer1"])
        high_BChw = self.resized(self.pooled(maps["layer4"]), low_BChw)
        return self.classified(self.sep_bottleneck(torch.cat([high_BChw, low_BChw], 1)))


class AuxiliaryHead(nn.Module):
    """The auxiliary head of the training, on `layer3`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(ConvModule(MIDDLE, MIDDLE // 4, 3))
        self.conv_seg = nn.Conv2d(MIDDLE // 4, num_classes, 1)

    def forward(self, maps: dict[str, Tensor]) -> tuple[Tensor]:
        return (self.conv_seg(self.convs(maps["layer3"])),)


@dataclass(frozen=True)
class Kind:
    """A decode head, a backbone and whether resizes have align_corners."""

    head: Callable[[int, bool], Head]
    resnet: str
    aligned: bool

    def network(self, num_classes: int) -> "MmsegNetwork":
        """The network."""
        return MmsegNetwork(ResNetV1c(self.resnet), self.decode_head(num_classes))

    def decode_head(self, channels: int) -> Head:
        """A decode head on the backbone's maps; logits at stride 8, DeepLabV3+'s at 4."""
        return self.head(channels, self.aligned)


class MmsegNetwork(nn.Module):
    """A backbone and a decode head."""

    def __init__(self, backbone: nn.Module, decode_head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BChw = self.decode_head(self.backbone(images_BCHW))
        return self.decode_head.resized(logits_BChw, images_BCHW)


HEADS: dict[str, Callable[[int, bool], Head]] = {
    "fcn": FcnHead,
    "psp": PspHead,
    "aspp": AsppHead,
    "sep_aspp": SeparableAsppHead,
}
RESNETS = {"r50": "resnet50", "r101": "resnet101"}
NAMES = tuple(f"{PREFIX}{head}_{resnet}{aligned}" for head in HEADS for resnet in RESNETS for aligned in ("", ALIGNED))


def mmseg_architecture(name: str) -> Architecture:
    """What is known of one of NAMES."""
    head, _, resnet = name.removeprefix(PREFIX).removesuffix(ALIGNED).rpartition("_")
    kind = Kind(HEADS[head], RESNETS[resnet], name.endswith(ALIGNED))
    return Architecture(
        name=name,
        build=kind.network,
        tap="backbone",
        head=kind.decode_head,
        auxiliary=Auxiliary("backbone", AuxiliaryHead),
    )
