"""Semantic segmentation from training to TensorRT on edge GPUs, with proof."""

import os
import sys

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

from hardedge.version import __version__  # noqa: E402  after the variables

__all__ = ["__version__"]
