"""The decoder of UPerNet (arXiv 1807.10221): segmentation-models-pytorch's parts, with their state keys."""

from collections.abc import Sequence

from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder

from hardedge.models.encoder_decoder import Family
from hardedge.models.encoders import DEPTH
from hardedge.models.pooling import GridPool

CHANNELS = 512  # as published; the library's default is 256


class UperNetAnySizeDecoder(UPerNetDecoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder, its pyramid pooled by matrix products."""

    def __init__(self, encoder_channels: Sequence[int]) -> None:
        super().__init__(encoder_channels=encoder_channels, encoder_depth=DEPTH, decoder_channels=CHANNELS)
        for block in self.psp.blocks:
            block[0] = GridPool(block[0].output_size)


UPERNET = Family(UperNetAnySizeDecoder, CHANNELS, auxiliary=True)
