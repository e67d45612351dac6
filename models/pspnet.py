"""The decoder of PSPNet (arXiv 1612.01105): segmentation-models-pytorch's parts, with their state keys.

As published it stands on the whole encoder, dilated to stride 8; the library's default is the encoder's first half.
"""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from torch import Tensor
from torch.nn import functional as F

from hardedge.models.encoder_decoder import Family
from hardedge.models.pooling import GridPool

CHANNELS = 512


class PspAnySizeDecoder(PSPDecoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder, its pyramid pooled by matrix products."""

    def __init__(self, encoder_channels: Sequence[int]) -> None:
        super().__init__(encoder_channels=encoder_channels, out_channels=CHANNELS)
        for block in self.psp.blocks:
            block.pool[0] = GridPool(block.pool_size)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        deep_BChw = features[-1]
        size = deep_BChw.shape[-2:]
        pooled = [block.pool(deep_BChw) for block in self.psp.blocks]
        resized = [F.interpolate(maps_BCkk, size=size, mode="bilinear", align_corners=True) for maps_BCkk in pooled]
        mixed_BChw: Tensor = self.dropout(self.conv(torch.cat([*resized, deep_BChw], dim=1)))
        return mixed_BChw


PSPNET = Family(PspAnySizeDecoder, CHANNELS, kernel=3, output_stride=8, auxiliary=True)
