"""Semantic segmentation from training to TensorRT on edge GPUs, with proof."""

import os
from importlib.metadata import version

# before anything imports onnxruntime, whose telemetry reports the names of models; what the user has set stays
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = version("hardedge")
