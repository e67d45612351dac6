"""The version of this package, for every module: a leaf that leads nowhere."""

from importlib.metadata import version

__version__ = version("hardedge")
