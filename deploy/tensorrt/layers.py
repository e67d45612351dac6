"""TensorRT's layers as its inspector describes them, read for the precision audit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hardedge.deploy.runner import Layer

# how the inspector writes types: `Int8 NC/32HW32`, `Half`, `Row major linear FP16 format`
_TYPES: Final = {
    r"\bint8\b": "int8",
    r"\b(fp8|float8|e4m3)": "fp8",
    r"\b(bf16|bfloat16)\b": "bf16",
    r"\b(half|fp16|float16)\b": "fp16",
    r"\b(float|fp32|float32)\b": "fp32",
}
_ONNX_LAYER: Final = re.compile(r"\[ONNX Layer: ([^\]]+)\]")


def read_layers(described: Sequence[Mapping[str, Any]]) -> list[Layer]:
    """The layers of a plan that was built with detailed profiling verbosity; without it they name no nodes."""
    return [
        Layer(
            nodes=tuple(onnx_nodes(layer)),
            precision=layer_precision(layer),
            converts=str(layer.get("LayerType", "")).lower() == "reformat",
        )
        for layer in described
    ]


def onnx_nodes(layer: Mapping[str, Any]) -> list[str]:
    """The names of the ONNX nodes that are in a layer."""
    return [name.strip() for name in _ONNX_LAYER.findall(str(layer.get("Metadata", "")))]


def layer_precision(layer: Mapping[str, Any]) -> str | None:
    """The precision of a layer's first input, or of its output where it has no input; None where it says none."""
    for tensor in (*layer.get("Inputs", ())[:1], *layer.get("Outputs", ())[:1]):
        text = str(tensor.get("Format/Datatype", "")).lower()
        for pattern, name in _TYPES.items():
            if re.search(pattern, text):
                return name
    return None
