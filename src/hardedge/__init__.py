"""Semantic segmentation from training to TensorRT on edge GPUs, with proof.

At this door: `run` (images to verified engines), `load` (an artefact, by its folder), `open_dataset`, `Segmenter`, and
`Report`. The stages are at theirs: `from hardedge.train import train`, `from hardedge.export import export`,
`from hardedge.deploy import deploy, verify, predict`.
"""

import os
import sys
from typing import TYPE_CHECKING

# what these packages would report to their makers, off before any of them is imported; what the user has set stays
SILENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_ERROR_REPORTING": "false",
}
for _name, _value in SILENT.items():
    os.environ.setdefault(_name, _value)
# OpenVINO has no such variable, but does without this package
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: an import of it fails

from hardedge.doors import open_doors  # noqa: E402  after the variables
from hardedge.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from hardedge.contracts import Report
    from hardedge.contracts import load_artefact as load
    from hardedge.data import open_dataset
    from hardedge.deploy import Segmenter
    from hardedge.pipeline import run

__all__ = ["Report", "Segmenter", "__version__", "load", "open_dataset", "run"]
__getattr__ = open_doors(
    __name__,
    {
        "Report": "hardedge.contracts",
        "Segmenter": "hardedge.deploy",
        "load": "hardedge.contracts:load_artefact",
        "open_dataset": "hardedge.data",
        "run": "hardedge.pipeline",
    },
)
