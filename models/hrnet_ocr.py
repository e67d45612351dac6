"""HRNetV2 (arXiv 1908.07919, timm's) with object-contextual representations (OCR, arXiv 1909.11065)."""

from collections.abc import Sequence
from functools import partial

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.segmenter import EncoderDecoderSegmenter, at_size_of

# channels of the maps at strides 4, 8, 16 and 32
CHANNELS = {"hrnet_w18": (18, 36, 72, 144), "hrnet_w48": (48, 96, 192, 384)}
PIXEL_CHANNELS = 512
KEY_CHANNELS = 256
DROPOUT = 0.05
# its coarse maps are doubled in size to meet its fine ones
MULTIPLE = 32


class OcrHead(nn.Module):
    """A decode head on the backbone's maps; logits at stride 4.

    `regions` gives coarse logits; their softmax over the pixels gathers one vector for each class, and every pixel
    attends to these vectors (eqs. 2 to 6). Training scores `regions` too, with labels: tap that sub-module.
    """

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        width = sum(channels)
        self.regions = nn.Sequential(Conv2dNormActivation(width, width, 1), nn.Conv2d(width, num_classes, 1))
        self.pixels = Conv2dNormActivation(width, PIXEL_CHANNELS, 3)
        self.query = _two_layers()
        self.key = _two_layers()
        self.value = Conv2dNormActivation(PIXEL_CHANNELS, KEY_CHANNELS, 1)
        self.context = Conv2dNormActivation(KEY_CHANNELS, PIXEL_CHANNELS, 1)
        self.mix = nn.Sequential(Conv2dNormActivation(2 * PIXEL_CHANNELS, PIXEL_CHANNELS, 1), nn.Dropout2d(DROPOUT))
        self.classifier = nn.Conv2d(PIXEL_CHANNELS, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        stacked_BChw = torch.cat([at_size_of(maps_BChw, features[0]) for maps_BChw in features], dim=1)
        pixels_BChw = self.pixels(stacked_BChw)
        objects_BCK1 = object_vectors(pixels_BChw, self.regions(stacked_BChw))
        attended_BChw = spatial_attention(self.query(pixels_BChw), self.key(objects_BCK1), self.value(objects_BCK1))
        mixed_BChw = self.mix(torch.cat([self.context(attended_BChw), pixels_BChw], dim=1))
        logits_BKhw: Tensor = self.classifier(mixed_BChw)
        return logits_BKhw


def _two_layers() -> nn.Sequential:
    first = Conv2dNormActivation(PIXEL_CHANNELS, KEY_CHANNELS, 1)
    return nn.Sequential(first, Conv2dNormActivation(KEY_CHANNELS, KEY_CHANNELS, 1))


def object_vectors(pixels_BChw: Tensor, regions_BKhw: Tensor) -> Tensor:
    """Each class's mean of the pixels, weighted by the softmax over the pixels of its logits, [B, C, K, 1]."""
    weight_BKp = regions_BKhw.flatten(2).softmax(2)
    return (pixels_BChw.flatten(2) @ weight_BKp.transpose(1, 2)).unsqueeze(3)


def spatial_attention(query_BChw: Tensor, key_BCK1: Tensor, value_BCK1: Tensor) -> Tensor:
    """For each pixel the values' mean, weighted by the softmax over K of query * key / sqrt(C), [B, C, h, w]."""
    key_BKC = key_BCK1.flatten(2).transpose(1, 2)
    weight_BKp = (key_BKC @ query_BChw.flatten(2) * query_BChw.shape[1] ** -0.5).softmax(1)
    attended_BCp: Tensor = value_BCK1.flatten(2) @ weight_BKp
    return attended_BCp.reshape(query_BChw.shape)


class Alone(nn.Module):
    """Logits that the network has already, as a tuple of one: an auxiliary head without a weight."""

    def forward(self, logits_BKhw: Tensor) -> tuple[Tensor]:
        return (logits_BKhw,)


def network(backbone: str, num_classes: int) -> EncoderDecoderSegmenter:
    """The network; its backbone gives a list of four maps, the finest first."""
    return EncoderDecoderSegmenter(_maps(backbone, pretrained=False), head(backbone, num_classes), MULTIPLE)


def head(backbone: str, channels: int) -> OcrHead:
    """A decode head, its soft regions included, on that backbone's maps."""
    return OcrHead(CHANNELS[backbone], channels)


def pretrained_weights(backbone: str) -> dict[str, Tensor]:
    """timm's HRNet weights of ImageNet, downloaded."""
    return dict(_maps(backbone, pretrained=True).state_dict())


def _maps(backbone: str, *, pretrained: bool) -> nn.Module:
    # no feature location: the maps before what the classifier adds to them
    made: nn.Module = timm.create_model(
        backbone, pretrained=pretrained, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
    )
    return made


def _ocr(name: str, backbone: str) -> Architecture:
    return Architecture(
        name=name,
        build=partial(network, backbone),
        tap="backbone",
        head=partial(head, backbone),
        auxiliary=Auxiliary("classifier.regions", lambda num_classes: Alone()),
        pretrained=partial(pretrained_weights, backbone),
    )


HRNETV2_W18_OCR = _ocr("hrnetv2_w18_ocr", "hrnet_w18")
HRNETV2_W48_OCR = _ocr("hrnetv2_w48_ocr", "hrnet_w48")
