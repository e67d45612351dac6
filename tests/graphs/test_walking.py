"""Walking a small graph with an If inside: producers, readers, and what is dropped."""

import onnx
from numpy import float32
from onnx import TensorProto, helper, numpy_helper

from hardedge.graphs.walking import add_output, drop_unread, last_argmax, producers, readers


def model() -> onnx.ModelProto:
    """x -> Relu -> y, an If that reads y from outside, and a chain of two Casts that nobody reads."""
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["y"], ["inner"])], "branch", [], [value])
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], name="relu"),
        helper.make_node("If", ["condition"], ["z"], name="if", then_branch=branch, else_branch=branch),
        helper.make_node("Cast", ["idle weight"], ["a"], name="first", to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["a"], ["b"], name="second", to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["z"], ["classes"], name="argmax", axis=1),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "condition")]
    outputs = [helper.make_tensor_value_info("classes", TensorProto.INT64, None)]
    weights = [numpy_helper.from_array(float32([1.0]), name) for name in ("idle weight",)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, weights))


def test_a_value_has_its_maker_and_its_readers_those_inside_others_too() -> None:
    graph = model()
    assert producers(graph)["y"].name == "relu"
    assert [node.name for node in readers(graph.graph, "y")] == ["if"]
    assert [node.name for node in readers(graph.graph, "a")] == ["second"]
    assert readers(graph.graph, "") == []
    argmax = last_argmax(graph)
    assert argmax is not None
    assert argmax.name == "argmax"


def test_only_what_nobody_reads_is_dropped_with_its_weights() -> None:
    graph = model()
    drop_unread(graph.graph, ("Cast",))
    assert [node.name for node in graph.graph.node] == ["relu", "if", "argmax"]
    assert list(graph.graph.initializer) == []
    kept = model()
    add_output(kept, "b", TensorProto.FLOAT)
    drop_unread(kept.graph, ("Cast",))
    assert [node.name for node in kept.graph.node] == ["relu", "if", "first", "second", "argmax"]
    assert [tensor.name for tensor in kept.graph.initializer] == ["idle weight"]
