"""Semantic segmentation from training to TensorRT on edge GPUs, with proof."""

from importlib.metadata import version

__version__ = version("hardedge")
