"""BiSeNetV2 (arXiv 2004.02147): a wide shallow branch for detail and a narrow deep one for meaning.

Layers are those of its table 1 and figures 4 to 6; what they leave open is said where it was chosen.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.segmenter import EncoderDecoderSegmenter, at_size_of

DETAIL = 128
STEM, STAGE3, STAGE4, STAGE5 = 16, 32, 64, 128
EXPANSION = 6
HEAD = 1024
# of the booster heads: the paper does not give their width
BOOSTER = 128
BOOSTED = {"stem": STEM, "stage3": STAGE3, "stage4": STAGE4, "stage5": STAGE5}


def _conv(inner: int, outer: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True) -> nn.Module:
    activation = nn.ReLU if relu else None
    made: nn.Module = Conv2dNormActivation(inner, outer, kernel, stride, groups=groups, activation_layer=activation)
    return made


def _depthwise(inner: int, outer: int, stride: int = 1, relu: bool = False) -> nn.Module:
    return _conv(inner, outer, stride=stride, groups=inner, relu=relu)


class DetailBranch(nn.Sequential):
    """Images to maps of 128 channels at stride 8."""

    def __init__(self) -> None:
        super().__init__(
            *(_conv(3, 64, stride=2), _conv(64, 64)),
            *(_conv(64, 64, stride=2), _conv(64, 64), _conv(64, 64)),
            *(_conv(64, DETAIL, stride=2), _conv(DETAIL, DETAIL), _conv(DETAIL, DETAIL)),
        )


class Stem(nn.Module):
    """Images to maps at stride 4, by a convolution and by pooling at once (figure 4a)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _conv(3, STEM, stride=2)
        self.left = nn.Sequential(_conv(STEM, STEM // 2, kernel=1), _conv(STEM // 2, STEM, stride=2))
        self.right = nn.MaxPool2d(3, stride=2, padding=1)
        self.mix = _conv(2 * STEM, STEM)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps_BChw = self.first(images_BCHW)
        mixed_BChw: Tensor = self.mix(torch.cat([self.left(maps_BChw), self.right(maps_BChw)], dim=1))
        return mixed_BChw


class GatherExpand(nn.Module):
    """The gather-and-expansion layer: 3x3, depthwise 3x3 to six times the channels, 1x1 back (figure 5).

    The figure shows no ReLU behind the depthwise convolution; the implementations that its results are reported with
    have it, and so has this one.
    """

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        wide = EXPANSION * inner
        expand = [_depthwise(inner, wide, relu=True)]
        shortcut: nn.Module = nn.Identity()
        if stride > 1:
            expand = [_depthwise(inner, wide, stride), _depthwise(wide, wide, relu=True)]
            shortcut = nn.Sequential(_depthwise(inner, inner, stride), _conv(inner, outer, kernel=1, relu=False))
        self.residual = nn.Sequential(_conv(inner, inner), *expand, _conv(wide, outer, kernel=1, relu=False))
        self.shortcut = shortcut

    def forward(self, maps_BChw: Tensor) -> Tensor:
        return F.relu(self.residual(maps_BChw) + self.shortcut(maps_BChw))


class ContextEmbedding(nn.Module):
    """The image's mean added to every pixel, then a 3x3 convolution (figure 4b)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(STAGE5)
        self.context = _conv(STAGE5, STAGE5, kernel=1)
        self.mix = nn.Conv2d(STAGE5, STAGE5, 3, padding=1)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        mean_BC11 = maps_BChw.mean((2, 3), keepdim=True)
        mixed_BChw: Tensor = self.mix(maps_BChw + self.context(self.norm(mean_BC11)))
        return mixed_BChw


class GuidedAggregation(nn.Module):
    """Bilateral guided aggregation: each branch's maps are gated by the other's at the other's scale (figure 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.detail = nn.Sequential(_depthwise(DETAIL, DETAIL), nn.Conv2d(DETAIL, DETAIL, 1))
        self.detail_down = nn.Sequential(
            _conv(DETAIL, DETAIL, stride=2, relu=False), nn.AvgPool2d(3, stride=2, padding=1)
        )
        self.semantic = nn.Sequential(_depthwise(STAGE5, DETAIL), nn.Conv2d(DETAIL, DETAIL, 1))
        self.semantic_up = _conv(STAGE5, DETAIL, relu=False)
        self.mix = _conv(DETAIL, DETAIL, relu=False)

    def forward(self, detail_BChw: Tensor, semantic_BChw: Tensor) -> Tensor:
        fine_BChw = self.detail(detail_BChw) * at_size_of(self.semantic_up(semantic_BChw), detail_BChw).sigmoid()
        coarse_BChw = self.detail_down(detail_BChw) * self.semantic(semantic_BChw).sigmoid()
        mixed_BChw: Tensor = self.mix(fine_BChw + at_size_of(coarse_BChw, detail_BChw))
        return mixed_BChw


class Backbone(nn.Module):
    """Both branches and their aggregation; from images the maps by name, `aggregated` last.

    `stem`, `stage3`, `stage4` and `stage5` are the semantic branch's at strides 4 to 32, `aggregated` is at stride 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.detail = DetailBranch()
        self.stem = Stem()
        self.stage3 = nn.Sequential(GatherExpand(STEM, STAGE3, stride=2), GatherExpand(STAGE3, STAGE3))
        self.stage4 = nn.Sequential(GatherExpand(STAGE3, STAGE4, stride=2), GatherExpand(STAGE4, STAGE4))
        self.stage5 = nn.Sequential(
            GatherExpand(STAGE4, STAGE5, stride=2), *(GatherExpand(STAGE5, STAGE5) for _ in range(3))
        )
        self.context = ContextEmbedding()
        self.aggregation = GuidedAggregation()

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        stem_BChw = self.stem(images_BCHW)
        stage3_BChw = self.stage3(stem_BChw)
        stage4_BChw = self.stage4(stage3_BChw)
        stage5_BChw = self.stage5(stage4_BChw)
        aggregated_BChw = self.aggregation(self.detail(images_BCHW), self.context(stage5_BChw))
        maps = {"stem": stem_BChw, "stage3": stage3_BChw, "stage4": stage4_BChw, "stage5": stage5_BChw}
        return maps | {"aggregated": aggregated_BChw}


def _segmentation(inner: int, wide: int, classes: int) -> nn.Sequential:
    return nn.Sequential(_conv(inner, wide), nn.Dropout2d(0.1), nn.Conv2d(wide, classes, 1))


class BiSeNetHead(nn.Module):
    """A decode head on the backbone's maps; logits at stride 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = _segmentation(DETAIL, HEAD, channels)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        logits_BChw: Tensor = self.layers(features["aggregated"])
        return logits_BChw


class BoosterHeads(nn.Module):
    """The auxiliary heads of the training, one on each stage of the semantic branch; four maps of logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {name: _segmentation(channels, BOOSTER, num_classes) for name, channels in BOOSTED.items()}
        )

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return tuple(head(features[name]) for name, head in self.heads.items())


def network(num_classes: int) -> EncoderDecoderSegmenter:
    """The network; its backbone gives the maps by name."""
    return EncoderDecoderSegmenter(Backbone(), BiSeNetHead(num_classes))


BISENETV2 = Architecture(
    name="bisenetv2", build=network, tap="backbone", head=BiSeNetHead, auxiliary=Auxiliary("backbone", BoosterHeads)
)
