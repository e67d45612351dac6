"""Networks as mmsegmentation has them, under its names, for weights that were trained there."""

from hardedge.models.mmsegmentation.networks import ALIGNED, NAMES, mmseg_architecture

__all__ = ["ALIGNED", "NAMES", "mmseg_architecture"]
