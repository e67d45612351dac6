"""Weights trained elsewhere: what is in a file, how its names are laid out, and the checkpoint made of it."""

from hardedge.train.stripping.contents import contents_text, list_contents
from hardedge.train.stripping.stage import strip, stripping_text

__all__ = ["contents_text", "list_contents", "strip", "stripping_text"]
