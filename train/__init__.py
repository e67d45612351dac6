"""Training: losses that know which pixels are hard, branches beside the network, recipes, studies.

The stage is at this door: `from hardedge.train import train`.
"""

if __name__ != "hardedge.train":
    raise ImportError("import hardedge.train, not train: this folder is the package hardedge.train")

from typing import TYPE_CHECKING

from hardedge.doors import open_doors

if TYPE_CHECKING:
    from hardedge.train.stage import train

__all__ = ["train"]
__getattr__ = open_doors(__name__, {"train": "hardedge.train.stage"})
