"""Labelled images: the native folder form, its check, and the built-in street scenes."""

from hardedge.data.folder import Dataset, open_dataset, read_image, read_mask

__all__ = ["Dataset", "open_dataset", "read_image", "read_mask"]
