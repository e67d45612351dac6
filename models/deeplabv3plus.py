"""The decoder of DeepLabV3+ (arXiv 1802.02611): segmentation-models-pytorch's parts, with their state keys."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from torch import Tensor
from torch.nn import functional as F

from hardedge.models.encoder_decoder import Family
from hardedge.models.encoders import DEPTH

OUTPUT_STRIDE = 16
CHANNELS = 256
ATROUS_RATES = (12, 24, 36)


class DeepLabV3PlusAnySizeDecoder(DeepLabV3PlusDecoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder for any size of image: it resizes to the fine map's size instead of by a factor of 4."""

    def __init__(self, encoder_channels: Sequence[int]) -> None:
        super().__init__(
            encoder_channels=encoder_channels,
            encoder_depth=DEPTH,
            out_channels=CHANNELS,
            atrous_rates=ATROUS_RATES,
            output_stride=OUTPUT_STRIDE,
            aspp_separable=True,
            aspp_dropout=0.5,
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        fine_BChw = features[2]
        deep_BChw = self.aspp(features[-1])
        # a padded image would serve too, but TensorRT-RTX does not build a resize to sizes computed that way
        deep_BChw = F.interpolate(deep_BChw, size=fine_BChw.shape[-2:], mode="bilinear", align_corners=True)
        mixed_BChw: Tensor = self.block2(torch.cat([deep_BChw, self.block1(fine_BChw)], dim=1))
        return mixed_BChw


DEEPLABV3PLUS = Family(DeepLabV3PlusAnySizeDecoder, CHANNELS, output_stride=OUTPUT_STRIDE, auxiliary=True)
