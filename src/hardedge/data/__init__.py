"""Labelled images: the native folder form, its check, and the built-in street scenes."""

from hardedge.data.dataset import Dataset
from hardedge.data.decoding import read_image, read_mask
from hardedge.data.opening import open_dataset

__all__ = ["Dataset", "open_dataset", "read_image", "read_mask"]
