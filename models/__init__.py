"""The networks that ship: normalised images_BCHW in, logits_BCHW at the image's size out."""

if __name__ != "hardedge.models":
    raise ImportError("import hardedge.models, not models: this folder is the package hardedge.models")

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.architectures import ARCHITECTURES, UNLISTED, architecture, build_network

__all__ = ["ARCHITECTURES", "UNLISTED", "Architecture", "Auxiliary", "architecture", "build_network"]
