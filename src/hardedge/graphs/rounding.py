"""FP16 and BF16 graphs as a GPU computes them, for onnxruntime on a CPU: float32 arithmetic, every result rounded.

onnxruntime's CPU kernels take FP16 graphs, but compute them in float32 and round nothing between two nodes, so that
neither the loss of precision nor an overflow shows; of BF16 they know hardly an operator.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hardedge.graphs.element_types import Types, element_types

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# they pass on values that were rounded before
# fmt: off
_EXACT = frozenset({
    "Concat", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Relu", "Reshape", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
})
# fmt: on


def rounded_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 form of a model with FP16 or BF16 values, whose values are FP16's or BF16's.

    Weights are those of the file, and whatever a node makes in half precision is rounded to it, to infinity where it
    is too large. Sums inside an operator are float32, as on a GPU. Without such values: the same model.
    """
    types = element_types(model)
    form = onnx.ModelProto()
    form.CopyFrom(model)
    for tensor in form.graph.initializer:
        if tensor.data_type in HALVES:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    del form.graph.node[:]
    form.graph.node.extend(rounded for node in model.graph.node for rounded in _rounding_nodes(node, types))
    return form


def _rounding_nodes(node: onnx.NodeProto, types: Types) -> list[onnx.NodeProto]:
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    for attribute in plain.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in HALVES:
            attribute.i = TensorProto.FLOAT
    nodes = [plain]
    for index, name in enumerate(node.output):
        kind = types.get(name, TensorProto.UNDEFINED)
        if kind in HALVES and node.op_type not in _EXACT:
            plain.output[index], half = f"{name} exact", f"{name} rounded"
            nodes.append(helper.make_node("Cast", [plain.output[index]], [half], to=kind))
            nodes.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    return nodes
