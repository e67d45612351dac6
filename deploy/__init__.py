"""Engines on the device: built, verified, run. No torch here.

What a program of your own needs is at this door: `Segmenter`, `verify`, `build`, `predict`.
"""

if __name__ != "hardedge.deploy":
    raise ImportError("import hardedge.deploy, not deploy: this folder is the package hardedge.deploy")

from typing import TYPE_CHECKING

from hardedge.doors import open_doors

if TYPE_CHECKING:
    from hardedge.deploy.engines.build import build
    from hardedge.deploy.prediction.predict import predict
    from hardedge.deploy.segmenter import Segmenter
    from hardedge.deploy.verification.stage import verify

__all__ = ["Segmenter", "build", "predict", "verify"]
__getattr__ = open_doors(
    __name__,
    {
        "Segmenter": "hardedge.deploy.segmenter",
        "build": "hardedge.deploy.engines.build",
        "predict": "hardedge.deploy.prediction.predict",
        "verify": "hardedge.deploy.verification.stage",
    },
)
