"""Export: the network as one ONNX file, its reference masks, precisions and certificate.

The stage is at this door: `from hardedge.export import export`.
"""

if __name__ != "hardedge.export":
    raise ImportError("import hardedge.export, not export: this folder is the package hardedge.export")

from typing import TYPE_CHECKING

from hardedge.doors import open_doors

if TYPE_CHECKING:
    from hardedge.export.stage import export

__all__ = ["export"]
__getattr__ = open_doors(__name__, {"export": "hardedge.export.stage"})
