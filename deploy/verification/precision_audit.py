"""The precision audit: which share of an engine's work is in the precision that was asked for.

From the engine's own layers where it is loaded, else from the typed ONNX file, which a strongly typed builder has to
follow. An FP32 engine under an FP16 name is what this is for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hardedge.contracts import Engine, PrecisionAudit
from hardedge.errors import BadInput
from hardedge.graphs.canonical import node_multiply_adds
from hardedge.graphs.element_types import CONVERSIONS, PRECISION_OF, element_types, precision_of, producers
from hardedge.graphs.rounding import rounded_form

if TYPE_CHECKING:
    import onnx

OTHER = "other"  # integers that are no quantised values, and what nobody could tell
# how TensorRT's inspector writes types: `Int8 NC/32HW32`, `Half`, `Row major linear FP16 format`
_LAYER_TYPES = {
    r"\bint8\b": "int8",
    r"\b(fp8|float8|e4m3)": "fp8",
    r"\b(bf16|bfloat16)\b": "bf16",
    r"\b(half|fp16|float16)\b": "fp16",
    r"\b(float|fp32|float32)\b": "fp32",
}
_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]+)\]")


def audit_onnx(model: onnx.ModelProto, size: tuple[int, int, int], engine: Engine) -> PrecisionAudit:
    """What the typed ONNX file says, multiply-adds for (batch, height, width); BadInput when it does not run."""
    types, made_by = element_types(with_node_names(model)), producers(model)
    nodes = {node.name: precision_of(node, types, made_by) or OTHER for node in model.graph.node}
    return PrecisionAudit(
        target=engine.target,
        precision=engine.precision,
        source="onnx",
        detail="read from the typed ONNX file, which a strongly typed network has to follow; the engine was not loaded",
        multiply_adds=_shares(_multiply_adds(model, size, nodes)),
        bytes=_shares(weight_bytes(model)),
        reformats=sum(node.op_type in CONVERSIONS for node in model.graph.node),
        layers=len(model.graph.node),
    )


def audit_layers(
    layers: Sequence[Mapping[str, Any]], model: onnx.ModelProto, size: tuple[int, int, int], engine: Engine
) -> PrecisionAudit:
    """What the engine's inspector says: the layers of a plan that was built with detailed profiling verbosity.

    A layer names the ONNX nodes that are fused in it, and computes in the type of its first input. Multiply-adds of
    nodes that no layer names count as `other`.
    """
    nodes = {name: layer_precision(layer) for layer in layers for name in onnx_nodes(layer)}
    reformats = sum(str(layer.get("LayerType", "")).lower() == "reformat" for layer in layers)
    counts = _multiply_adds(model, size, nodes)
    named = sum(counts.values()) - counts.get(OTHER, 0)
    detail = "read from the engine's layers" if named else "the engine's layers do not say what they compute in"
    return PrecisionAudit(
        target=engine.target,
        precision=engine.precision,
        source="engine",
        detail=detail,
        multiply_adds=_shares(counts),
        bytes=_shares(weight_bytes(model)),
        reformats=reformats,
        layers=len(layers),
    )


def onnx_nodes(layer: Mapping[str, Any]) -> list[str]:
    """The names of the ONNX nodes that are in a layer."""
    return [name.strip() for name in _ONNX_LAYER.findall(str(layer.get("Metadata", "")))]


def layer_precision(layer: Mapping[str, Any]) -> str:
    """The precision of a layer's first input, or of its output where it has no input."""
    for tensor in (*layer.get("Inputs", ())[:1], *layer.get("Outputs", ())[:1]):
        text = str(tensor.get("Format/Datatype", "")).lower()
        for pattern, name in _LAYER_TYPES.items():
            if re.search(pattern, text):
                return name
    return OTHER


def weight_bytes(model: onnx.ModelProto) -> dict[str, int]:
    """The bytes of the weights by their type; shapes, axes and other int64 values are left out."""
    total: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        if tensor.data_type != tensor.INT64:
            total[PRECISION_OF.get(tensor.data_type, OTHER)] += tensor.ByteSize()
    return dict(total)


def _multiply_adds(model: onnx.ModelProto, size: tuple[int, int, int], precisions: Mapping[str, str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    try:
        counted = node_multiply_adds(rounded_form(model), size)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise BadInput(
            f"the bundle's ONNX file does not run, so it cannot be audited ({error}). Export it again."
        ) from None
    for node, count in counted:
        total[precisions.get(node.name, OTHER)] += count
    return dict(total)


def with_node_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, its nodes without a name named by their number."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node {number}"
    return model


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in _largest_first(counts)} if total else {}


def _largest_first(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    yield from sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
