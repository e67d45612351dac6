"""The element types of a graph's values, and the precision that each of its nodes computes in."""

from collections.abc import Mapping

import onnx
from onnx import TensorProto

from hardedge.precisions import PRECISIONS

Types = Mapping[str, int]  # TensorProto.DataType by value name

PRECISION_OF: dict[int, str] = {
    **{TensorProto.DataType.Value(each.onnx_type): each.counted_as for each in PRECISIONS},
    TensorProto.DOUBLE: "fp64",
}
QUANTISED = tuple(dict.fromkeys(TensorProto.DataType.Value(each.onnx_type) for each in PRECISIONS if each.rest))
FLOATS = tuple(kind for kind in PRECISION_OF if kind not in QUANTISED)
# conversions between types, not arithmetic in one
CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear")


def element_types(model: onnx.ModelProto) -> Types:
    """The type of every value of the main graph that onnx's inference finds, weights and inputs included."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in inferred.initializer}


def precision_of(node: onnx.NodeProto, types: Types, made_by: Mapping[str, onnx.NodeProto]) -> str | None:
    """What a node computes in: `int8` or `fp8` where data and weight come from DequantizeLinear, else its float type.

    None for a node that computes in no floating point, and for conversions between types.
    """
    if node.op_type in CONVERSIONS:
        return None
    quantised = [_quantised_type(name, types, made_by) for name in node.input[:2]]
    if len(quantised) == 2 and quantised[0] is not None and quantised[0] == quantised[1]:
        return PRECISION_OF[quantised[0]]
    # a Resize with float scales computes in its data's type, an ArgMax has a float input only
    for name in (*node.input[:1], *node.output[:1]):
        if types.get(name) in FLOATS:
            return PRECISION_OF[types[name]]
    return None


def _quantised_type(name: str, types: Types, made_by: Mapping[str, onnx.NodeProto]) -> int | None:
    node = made_by.get(name)
    if node is None or node.op_type != "DequantizeLinear":
        return None
    kind = types.get(node.input[0])
    return kind if kind in QUANTISED else None
