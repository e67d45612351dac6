"""Networks as mmsegmentation has them, under its names, for weights that were trained there."""

from functools import partial

from hardedge.models.mmsegmentation.networks import ALIGNED, mmseg_architecture
from hardedge.models.mmsegmentation.networks import NAMES as RESNET_NAMES
from hardedge.models.mmsegmentation.segformer import NAMES as SEGFORMER_NAMES
from hardedge.models.mmsegmentation.segformer import segformer_architecture

MMSEG_ARCHITECTURES = {name: partial(mmseg_architecture, name) for name in RESNET_NAMES} | {
    name: partial(segformer_architecture, name) for name in SEGFORMER_NAMES
}

__all__ = ["ALIGNED", "MMSEG_ARCHITECTURES", "RESNET_NAMES", "SEGFORMER_NAMES"]
