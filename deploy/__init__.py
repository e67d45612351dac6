"""Engines on the device: built, verified, run. No torch here.

What a program of your own needs is at this door: `deploy`, `verify`, `build`, `predict`, `Segmenter`.
"""

if __name__ != "hardedge.deploy":
    raise ImportError("import hardedge.deploy, not deploy: this folder is the package hardedge.deploy")

from typing import TYPE_CHECKING

from hardedge.doors import open_doors

if TYPE_CHECKING:
    from hardedge.deploy.engines.build import build
    from hardedge.deploy.prediction.predict import predict
    from hardedge.deploy.segmenter import Segmenter
    from hardedge.deploy.stage import deploy
    from hardedge.deploy.verification.stage import verify

__all__ = ["Segmenter", "build", "deploy", "predict", "verify"]
__getattr__ = open_doors(
    __name__,
    {
        "Segmenter": "hardedge.deploy.segmenter",
        "build": "hardedge.deploy.engines.build",
        "deploy": "hardedge.deploy.stage",
        "predict": "hardedge.deploy.prediction.predict",
        "verify": "hardedge.deploy.verification.stage",
    },
)
