"""A graph cut to its outputs keeps what the graphs inside its nodes read from outside."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from hardedge.graphs.cutting import cut_to_outputs
from hardedge.graphs.walking import names_read


def with_branches() -> onnx.ModelProto:
    """Scores of an If whose branches read a value made outside and weights; one output, one node, one weight more."""

    def branch(name: str, weight: str) -> onnx.GraphProto:
        inner = helper.make_node("Conv", ["x", weight, "bias"], [name], kernel_shape=[1, 1])
        return helper.make_graph([inner], f"{name} graph", [], [helper.make_tensor_value_info(name, 1, None)])

    nodes = [
        helper.make_node("Identity", ["weight"], ["outer"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Size", ["shape"], ["rank"]),
        helper.make_node("Equal", ["rank", "four"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=branch("a", "outer"), else_branch=branch("b", "zero")),
        helper.make_node("Mul", ["x", "unused"], ["z"]),
    ]
    shape = ["batch", 3, "height", "width"]
    weight = np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1)
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("y", "z")],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.zeros_like(weight), "zero"),
            numpy_helper.from_array(np.ones(3, np.float32), "bias"),
            numpy_helper.from_array(np.array(4), "four"),
            numpy_helper.from_array(np.array(2, np.float32), "unused"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_outer_values_weights_and_what_makes_them_stay() -> None:
    model = with_branches()
    assert names_read(model.graph.node[4]) == {"condition", "x", "outer", "zero", "bias"}
    cut = cut_to_outputs(model, ["x"], ["y"])
    onnx.checker.check_model(cut, full_check=True)
    assert [node.op_type for node in cut.graph.node] == ["Identity", "Shape", "Size", "Equal", "If"]
    assert {tensor.name for tensor in cut.graph.initializer} == {"weight", "zero", "bias", "four"}
    x = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(["y"], {"x": x})
        for each in (model, cut)
    )
    np.testing.assert_array_equal(before, after)


def test_functions_stay_where_a_graph_inside_a_node_calls_them() -> None:
    model = with_branches()
    opsets = [helper.make_opsetid("", 18)]
    for name in ("inside", "called", "idle"):
        inner = helper.make_node("called" if name == "inside" else "Neg", ["v"], ["w"])
        inner.domain = "own" if name == "inside" else ""
        model.functions.append(helper.make_function("own", name, ["v"], ["w"], [inner], opsets))
    then = model.graph.node[4].attribute[0].g
    then.node.append(helper.make_node("inside", [then.output[0].name], ["end"], domain="own"))
    then.output[0].name = "end"
    cut = cut_to_outputs(model, ["x"], ["y"])
    assert [function.name for function in cut.functions] == ["inside", "called"]
