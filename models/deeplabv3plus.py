"""DeepLabV3+ on ResNet-18 (arXiv 1802.02611), of segmentation-models-pytorch's parts and with its state keys."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional as F

ENCODER = "resnet18"
DEPTH = 5
OUTPUT_STRIDE = 16
CHANNELS = (3, 64, 64, 128, 256, 512)
DECODER_CHANNELS = 256
ATROUS_RATES = (12, 24, 36)


class Decoder(DeepLabV3PlusDecoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder for any size of image: it resizes to the fine map's size instead of by a factor of 4."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        fine_BChw = features[2]
        deep_BChw = self.aspp(features[-1])
        # a padded image would serve too, but TensorRT-RTX does not build a resize to sizes computed that way
        deep_BChw = F.interpolate(deep_BChw, size=fine_BChw.shape[-2:], mode="bilinear", align_corners=True)
        mixed_BChw: Tensor = self.block2(torch.cat([deep_BChw, self.block1(fine_BChw)], dim=1))
        return mixed_BChw


class DeepLabV3Plus(nn.Module):
    """Encoder, decoder and segmentation head; images_BCHW to logits_BCHW at the image's size."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, segmentation_head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.segmentation_head = segmentation_head

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BChw = self.segmentation_head(self.decoder(self.encoder(images_BCHW)))
        return F.interpolate(logits_BChw, size=images_BCHW.shape[-2:], mode="bilinear", align_corners=False)


def network(num_classes: int) -> DeepLabV3Plus:
    """The network; its encoder gives a list of maps, the image first."""
    encoder = get_encoder(ENCODER, in_channels=3, depth=DEPTH, weights=None, output_stride=OUTPUT_STRIDE)
    decoder, segmentation_head = head(num_classes)
    return DeepLabV3Plus(encoder, decoder, segmentation_head)


def head(channels: int) -> nn.Sequential:
    """Decoder and segmentation head on the encoder's maps; logits at stride 4."""
    decoder = Decoder(
        encoder_channels=CHANNELS,
        encoder_depth=DEPTH,
        out_channels=DECODER_CHANNELS,
        atrous_rates=ATROUS_RATES,
        output_stride=OUTPUT_STRIDE,
        aspp_separable=True,
        aspp_dropout=0.5,
    )
    segmentation_head = SegmentationHead(DECODER_CHANNELS, channels, kernel_size=1)
    initialize_decoder(decoder)
    initialize_head(segmentation_head)
    return nn.Sequential(OrderedDict(decoder=decoder, segmentation_head=segmentation_head))
