"""The rounded form: what a GPU in half precision would compute, against numpy's own half precision."""

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.graphs.rounding import rounded_form

DTYPES = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16}


def chain(kind: int, operators: list[tuple[str, float]]) -> onnx.ModelProto:
    """x cast to a half type, each operator with its constant, and back to float."""
    nodes, weights = [helper.make_node("Cast", ["x"], ["v0"], to=kind)], []
    for number, (operator, value) in enumerate(operators):
        weights.append(numpy_helper.from_array(np.array(value, DTYPES[kind]), f"w{number}"))
        nodes.append(helper.make_node(operator, [f"v{number}", f"w{number}"], [f"v{number + 1}"]))
    nodes.append(helper.make_node("Cast", [f"v{len(operators)}"], ["y"], to=TensorProto.FLOAT))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [5]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


@pytest.mark.parametrize("kind", list(DTYPES))
def test_every_result_is_rounded(kind: int) -> None:
    operators = [("Add", 0.3), ("Mul", 1.7), ("Sub", 0.11), ("Div", 3.0)]
    x = np.array([0.1, 1.234, -7.7, 100.3, 2000.7], np.float32)
    expected = x.astype(DTYPES[kind])
    for operator, value in operators:
        constant = np.float32(DTYPES[kind](value))
        wide = expected.astype(np.float32)
        wide = {"Add": wide + constant, "Mul": wide * constant, "Sub": wide - constant, "Div": wide / constant}[
            operator
        ]
        expected = wide.astype(DTYPES[kind])
    np.testing.assert_array_equal(run(rounded_form(chain(kind, operators)), x), expected.astype(np.float32))


def test_too_large_is_infinite_in_fp16_alone() -> None:
    x = np.full(5, 300, np.float32)
    operators = [("Mul", 300.0), ("Div", 300.0)]
    assert np.isinf(run(rounded_form(chain(TensorProto.FLOAT16, operators)), x)).all()
    assert np.isfinite(run(rounded_form(chain(TensorProto.BFLOAT16, operators)), x)).all()
    # why the form is needed: onnxruntime itself does not round between two nodes on a CPU
    assert np.isfinite(run(chain(TensorProto.FLOAT16, operators), x)).all()


def test_a_float32_graph_stays_as_it_is() -> None:
    model = chain(TensorProto.FLOAT16, [("Add", 1.0)])
    for node in model.graph.node:
        for attribute in node.attribute:
            attribute.i = TensorProto.FLOAT
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(1.0, np.float32), "w0"))
    assert rounded_form(model) == model
