"""The precision audit: which share of an engine's work is in the precision that was asked for.

From the engine's own layers where it is loaded, else from the typed ONNX file, which a strongly typed builder has to
follow. An FP32 engine under an FP16 name is what this is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hardedge.contracts import Engine, PrecisionAudit
from hardedge.deploy.runner import Layer
from hardedge.errors import BadInput
from hardedge.graphs.canonical import node_multiply_adds
from hardedge.graphs.element_types import CONVERSIONS, PRECISION_OF, element_types, precision_of
from hardedge.graphs.rounding import rounded_form
from hardedge.graphs.walking import producers

if TYPE_CHECKING:
    import onnx

OTHER = "other"  # integers that are no quantised values, and what nobody could tell


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
    layers: Sequence[Layer], model: onnx.ModelProto, size: tuple[int, int, int], engine: Engine
) -> PrecisionAudit:
    """What a loaded engine says of its layers; multiply-adds of nodes that no layer names count as `other`."""
    nodes = {name: layer.precision or OTHER for layer in layers for name in layer.nodes}
    reformats = sum(layer.converts for layer in layers)
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
        # OpenVINO calls a node without a name by its output
        total[precisions.get(node.name or node.output[0], OTHER)] += count
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
