"""The precisions: one table of all that differs between them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hardedge.errors import BadInput


@dataclass(frozen=True)
class Precision:
    """What the files and engines of a precision compute in.

    `onnx_type` is the element type that gives it its name, by ONNX's name for it. `rest` is the precision of the nodes
    that stay unquantised; empty where nothing is quantised. `margin` is how far mIoU may fall, in points, for parity.
    `usual_agreement` is the share of equal pixels below which a report warns.
    `arithmetic` is what export checks a converted file with; empty where no file is converted. `first_architecture` is
    the first NVIDIA architecture that computes in it (89: SM89), 0 for all. `command` writes its file.
    """

    name: str
    onnx_type: str
    margin: float
    usual_agreement: float
    rest: str = ""
    arithmetic: str = ""
    first_architecture: int = 0
    command: str = ""

    @property
    def counted_as(self) -> str:
        """The precision that has this one's element type as its name: of a mixture of INT8 and FP16, int8."""
        return name_of_type(self.onnx_type) or self.name

    @property
    def writer(self) -> str:
        """The command that writes a bundle's file of this precision."""
        return self.command or f"hardedge export --precision {self.name}"


_ROUNDED: Final = "onnxruntime on a CPU in FP32, every result rounded to"
_QUANTISED: Final = "onnxruntime on a CPU in FP32, values rounded to {} as the graph says and every result to FP16"

PRECISIONS: Final = (
    Precision("fp32", "FLOAT", 0.1, 0.999),
    Precision("fp16", "FLOAT16", 0.1, 0.99, arithmetic=f"{_ROUNDED} FP16"),
    Precision("bf16", "BFLOAT16", 0.1, 0.98, arithmetic=f"{_ROUNDED} BF16", first_architecture=80),
    Precision("int8", "INT8", 0.5, 0.95, rest="fp16", arithmetic=_QUANTISED.format("INT8")),
    Precision(
        "fp8", "FLOAT8E4M3FN", 0.5, 0.95, rest="fp16", arithmetic=_QUANTISED.format("FP8"), first_architecture=89
    ),
    Precision("mixed", "INT8", 0.5, 0.95, rest="fp16", command="hardedge tune"),
)

# those that export writes, and all that an engine can be built in
EXPORTED: Final = tuple(each.name for each in PRECISIONS if not each.command)
DEPLOYED: Final = tuple(each.name for each in PRECISIONS)


def precision_named(name: str) -> Precision:
    """The precision of that name; raises BadInput for an unknown one."""
    for each in PRECISIONS:
        if each.name == name:
            return each
    raise unknown_precision(name, DEPLOYED)


def unknown_precision(name: str, known: Sequence[str]) -> BadInput:
    """The error for a name that is none of these, with the nearest of them."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return BadInput(f'unknown precision "{name}".{hint} Known: {", ".join(known)}.')


def name_of_type(onnx_type: str) -> str | None:
    """The first precision of an element type, by ONNX's name for it; None for a type that is none's."""
    return next((each.name for each in PRECISIONS if each.onnx_type == onnx_type), None)
