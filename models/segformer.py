"""The decoder of SegFormer (arXiv 2105.15203): segmentation-models-pytorch's parts, with their state keys."""

from collections.abc import Sequence
from functools import partial

import torch
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from torch import Tensor

from hardedge.models.encoder_decoder import Family
from hardedge.models.encoders import DEPTH
from hardedge.models.segmenter import at_size_of

# as published: B0 and B1 have the small decoder
SMALL, LARGE = 256, 768


class SegformerAnySizeDecoder(SegformerDecoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder for any size of image: it resizes to the finest map's size instead of the image's / 4."""

    def __init__(self, encoder_channels: Sequence[int], channels: int) -> None:
        super().__init__(list(encoder_channels), encoder_depth=DEPTH, segmentation_channels=channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        maps = [maps_BChw for maps_BChw in features[1:] if maps_BChw.shape[1] > 0]
        mixed = [stage(maps_BChw) for stage, maps_BChw in zip(self.mlp_stage, reversed(maps), strict=True)]
        mixed_BChw: Tensor = self.fuse_stage(torch.cat([at_size_of(one_BChw, maps[0]) for one_BChw in mixed], dim=1))
        return mixed_BChw


SEGFORMER_SMALL = Family(partial(SegformerAnySizeDecoder, channels=SMALL), SMALL)
SEGFORMER = Family(partial(SegformerAnySizeDecoder, channels=LARGE), LARGE)
