"""EfficientViT-B0 and -B1 (arXiv 2205.14756, timm's) under a light decoder of ours."""

from collections.abc import Sequence
from functools import partial

import timm
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation

from hardedge.models.architecture import Architecture
from hardedge.models.segmenter import EncoderDecoderSegmenter, at_size_of

# channels of the maps at strides 4, 8, 16 and 32
CHANNELS = {"efficientvit_b0": (16, 32, 64, 128), "efficientvit_b1": (32, 64, 128, 256)}
WIDTH = {"efficientvit_b0": 32, "efficientvit_b1": 64}


class LightDecoder(nn.Module):
    """The maps at strides 8, 16 and 32, each by a 1x1 convolution, summed at stride 8; a separable 3x3; logits.

    The paper's own head sums the same three maps; what follows its sum is ours.
    """

    def __init__(self, channels: Sequence[int], width: int, num_classes: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            Conv2dNormActivation(inner, width, 1, activation_layer=None) for inner in channels[1:]
        )
        self.mix = nn.Sequential(
            Conv2dNormActivation(width, width, 3, groups=width, activation_layer=nn.Hardswish),
            Conv2dNormActivation(width, 2 * width, 1, activation_layer=nn.Hardswish),
        )
        self.classifier = nn.Conv2d(2 * width, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        maps = [convolution(map_BChw) for convolution, map_BChw in zip(self.lateral, features[1:], strict=True)]
        sum_BChw = maps[0]
        for coarse_BChw in maps[1:]:
            sum_BChw = sum_BChw + at_size_of(coarse_BChw, maps[0])
        logits_BChw: Tensor = self.classifier(self.mix(F.hardswish(sum_BChw)))
        return logits_BChw


def network(backbone: str, num_classes: int) -> EncoderDecoderSegmenter:
    """The network; its backbone gives a list of four maps, the finest first."""
    return EncoderDecoderSegmenter(_maps(backbone, pretrained=False), head(backbone, num_classes))


def head(backbone: str, channels: int) -> LightDecoder:
    """A decode head on that backbone's maps; logits at stride 8."""
    return LightDecoder(CHANNELS[backbone], WIDTH[backbone], channels)


def pretrained_weights(backbone: str) -> dict[str, Tensor]:
    """timm's EfficientViT weights of ImageNet, downloaded."""
    return dict(_maps(backbone, pretrained=True).state_dict())


def _maps(backbone: str, *, pretrained: bool) -> nn.Module:
    made: nn.Module = timm.create_model(backbone, pretrained=pretrained, features_only=True)
    return made


def _efficientvit(name: str) -> Architecture:
    return Architecture(
        name=name,
        build=partial(network, name),
        tap="backbone",
        head=partial(head, name),
        pretrained=partial(pretrained_weights, name),
    )


EFFICIENTVIT_B0 = _efficientvit("efficientvit_b0")
EFFICIENTVIT_B1 = _efficientvit("efficientvit_b1")
