"""What a conversion reached: multiply-adds by precision, and the nodes that it left in a higher one."""

import math
from collections.abc import Mapping

import onnx

from hardedge.contracts import KeptNode
from hardedge.export.precisions.convert import Converted
from hardedge.graphs.canonical import COUNTED, node_multiply_adds
from hardedge.graphs.element_types import element_types, precision_of
from hardedge.graphs.rounding import rounded_form
from hardedge.graphs.walking import producers
from hardedge.precisions import precision_named

UNTOLD = "left out by Model Optimizer, which does not say why"
# its own limits (0.47): in this order few channels, large filters, small products
CHANNELS, FILTER, SIDE = 16, 32, 16


def multiply_adds_by_precision(model: onnx.ModelProto, size: tuple[int, int, int]) -> dict[str, int]:
    """The multiply-adds for (batch, height, width) by the precision that their node computes in, the largest first."""
    types, made_by = element_types(model), producers(model)
    nodes = {node.name: node for node in model.graph.node}
    total: dict[str, int] = {}
    for node, count in node_multiply_adds(rounded_form(model), size):
        precision = precision_of(nodes[node.name], types, made_by) or "integers"
        total[precision] = total.get(precision, 0) + count
    return dict(sorted(total.items(), key=lambda entry: -entry[1]))


def kept_nodes(converted: Converted, precision: str, size: tuple[int, int, int]) -> tuple[KeptNode, ...]:
    """Every node in FP32, and every convolution or matrix product that is not in the precision that was asked for."""
    model, wanted = converted.model, precision_named(precision)
    types, made_by = element_types(model), producers(model)
    counts = {node.name: count for node, count in node_multiply_adds(rounded_form(model), size)}
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        found = precision_of(node, types, made_by)
        higher = found == "fp32" and wanted.rest != "fp32"
        if found in (None, wanted.counted_as) or not (higher or node.op_type in COUNTED):
            continue
        source = converted.sources.get(node.name, "")
        kept.append(
            KeptNode(
                node=node.name,
                source=source,
                operator=node.op_type,
                precision=str(found),
                multiply_adds=counts.get(node.name, 0),
                why=converted.reasons.get(source) or unquantised_for(node, weights, wanted.counted_as),
            )
        )
    return tuple(kept)


def unquantised_for(node: onnx.NodeProto, weights: Mapping[str, tuple[int, ...]], precision: str) -> str:
    """Which of Model Optimizer's rules leaves a node unquantised, read from its weight's dimensions."""
    dims = weights.get(node.input[1], ()) if len(node.input) > 1 else ()
    if precision not in ("int8", "fp8") or not dims:
        return UNTOLD
    if node.op_type == "Conv" and precision == "fp8" and math.prod(dims[2:]) > FILTER:
        return f"a filter of more than {FILTER} values, for which Model Optimizer leaves out FP8"
    if node.op_type == "ConvTranspose" and precision == "fp8":
        return "Model Optimizer has no FP8 ConvTranspose"
    few = CHANNELS if precision == "fp8" else CHANNELS - 1
    if node.op_type == "Conv" and min(dims[:2]) <= few:
        return f"{few} channels or fewer (in a group, or out), which Model Optimizer leaves out"
    if node.op_type in ("MatMul", "Gemm") and min(dims) < SIDE:
        return f"a matrix with a side below {SIDE}, which Model Optimizer leaves out"
    return UNTOLD
