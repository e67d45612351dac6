"""The decoder of semantic FPN (arXiv 1901.02446): segmentation-models-pytorch's parts, with their state keys."""

from collections.abc import Sequence

from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder, SegmentationBlock
from torch import Size, Tensor
from torch.nn import functional as F

from hardedge.models.encoder_decoder import Family
from hardedge.models.encoders import DEPTH

CHANNELS = 128


class FpnAnySizeDecoder(FPNDecoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder for any size of image: it resizes to the finer map's size instead of by a factor of 2."""

    def __init__(self, encoder_channels: Sequence[int]) -> None:
        super().__init__(list(encoder_channels), encoder_depth=DEPTH, segmentation_channels=CHANNELS)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        *finer, deep_BChw = features[-4:]
        pyramid = [self.p5(deep_BChw)]
        for block, fine_BChw in zip((self.p4, self.p3, self.p2), reversed(finer), strict=True):
            coarse_BChw = F.interpolate(pyramid[-1], size=fine_BChw.shape[-2:], mode="nearest")
            pyramid.append(coarse_BChw + block.skip_conv(fine_BChw))
        sizes = [maps_BChw.shape[-2:] for maps_BChw in pyramid]
        levels = enumerate(zip(self.seg_blocks, pyramid, strict=True), start=1)
        merged_BChw: Tensor = self.merge([_at_finest(block, maps, sizes[level:]) for level, (block, maps) in levels])
        # not in place, as the library's is: what is added up may be tapped
        return F.dropout2d(merged_BChw, self.dropout.p, self.training)


def _at_finest(segmentation: SegmentationBlock, maps_BChw: Tensor, sizes: Sequence[Size]) -> Tensor:
    """One level's convolutions, each followed by the resize to the next finer level; the finest level has no resize."""
    convolutions = list(segmentation.block)
    for convolution, size in zip(convolutions, sizes, strict=False):
        maps_BChw = F.interpolate(convolution.block(maps_BChw), size=size, mode="bilinear", align_corners=True)
    return maps_BChw if sizes else convolutions[0].block(maps_BChw)


FPN = Family(FpnAnySizeDecoder, CHANNELS)
