"""The canonical form: blind to names and notes, not to anything that is computed."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hardedge.graphs.canonical import canonical_form, complexity_of, onnx_digest

DIMS = ["batch", "height", "width", 3]


def small_model(prefix: str = "", weight: float = 1.0) -> onnx.ModelProto:
    """image -> Cast -> Transpose -> Conv 3x3 (3 to 4 channels, padded) -> ArgMax -> Cast -> mask."""
    weight_OIhw = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3) * weight
    bias_O = np.array([0, 1, 2, 3], np.float32)
    n = [f"{prefix}{name}" for name in ("float", "planes", "weight", "bias", "logits", "top")]
    nodes = [
        helper.make_node("Cast", ["image"], [n[0]], to=TensorProto.FLOAT),
        helper.make_node("Transpose", [n[0]], [n[1]], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", [n[1], n[2], n[3]], [n[4]], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("ArgMax", [n[4]], [n[5]], axis=1, keepdims=0),
        helper.make_node("Cast", [n[5]], ["mask"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        f"{prefix}graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, DIMS)],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, DIMS[:3])],
        [numpy_helper.from_array(weight_OIhw, n[2]), numpy_helper.from_array(bias_O, n[3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, image_BHWC: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image_BHWC})[0]


def test_canonical_form_is_valid_and_computes_the_same() -> None:
    model = small_model("some/path.py:")
    image_BHWC = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 3), dtype=np.uint8)
    plain = canonical_form(model)
    onnx.checker.check_model(plain, full_check=True)
    np.testing.assert_array_equal(run(plain, image_BHWC), run(model, image_BHWC))
    assert canonical_form(plain).SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)


@given(prefix=st.text("abcv01/.", max_size=4), note=st.text(max_size=20))
def test_digest_ignores_names_and_notes(prefix: str, note: str) -> None:
    model = small_model(prefix)
    model.producer_name = model.doc_string = model.graph.doc_string = note
    helper.set_model_props(model, {"note": note})
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = note
        item.metadata_props.add(key="trace", value=note)
    for number, node in enumerate(model.graph.node):
        node.name = f"{note}{number}"
        node.attribute.reverse()
    model.graph.initializer.reverse()
    model.graph.value_info.append(helper.make_tensor_value_info(f"{prefix}logits", TensorProto.FLOAT, [1]))
    assert canonical_form(model) == canonical_form(small_model())
    assert onnx_digest(model) == onnx_digest(small_model())


def test_digest_does_not_depend_on_how_a_weight_is_stored() -> None:
    model = small_model()
    stored = model.graph.initializer[1]
    values = numpy_helper.to_array(stored)
    stored.ClearField("raw_data")
    stored.float_data.extend(values.tolist())
    assert onnx_digest(model) == onnx_digest(small_model())


def one_weight(model: onnx.ModelProto) -> None:
    bias_O = numpy_helper.to_array(model.graph.initializer[1]).copy()
    bias_O[2] = np.nextafter(bias_O[2], np.float32(9))
    model.graph.initializer[1].raw_data = bias_O.tobytes()


def an_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute.append(helper.make_attribute("dilations", [1, 1]))


def an_idle_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["nowhere"]))


def an_unused_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "branch.weight"))


def an_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, None))


def an_outputs_name(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = model.graph.output[0].name = "labels"


def a_connection(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[1:] = reversed(model.graph.node[2].input[1:])


def the_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 21


CHANGES = [
    one_weight,
    an_attribute,
    an_idle_node,
    an_unused_weight,
    an_output,
    an_outputs_name,
    a_connection,
    the_opset,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_digest_sees(change: Callable[[onnx.ModelProto], None]) -> None:
    model = small_model()
    change(model)
    assert onnx_digest(model) != onnx_digest(small_model())


def test_the_given_model_is_left_alone() -> None:
    model = small_model()
    before = model.SerializeToString(deterministic=True)
    canonical_form(model)
    complexity_of(model, (1, 4, 5))
    assert model.SerializeToString(deterministic=True) == before


def branching(prefix: str, scale: float) -> onnx.ModelProto:
    """If(condition) x * scale else x, with a weight inside the branch and one from outside."""
    value = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("Mul", [f"{prefix}x", f"{prefix}scale"], [f"{prefix}yes"])],
        f"{prefix}then",
        [],
        [value(f"{prefix}yes", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([scale], np.float32), f"{prefix}scale")],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", [f"{prefix}x"], [f"{prefix}no"])],
        f"{prefix}else",
        [],
        [value(f"{prefix}no", TensorProto.FLOAT, [1])],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["condition"], ["y"], then_branch=inner, else_branch=other)],
        "g",
        [value("condition", TensorProto.BOOL, [])],
        [value("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([3], np.float32), f"{prefix}x")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_graphs_inside_nodes_are_normalised_and_seen() -> None:
    onnx.checker.check_model(canonical_form(branching("a", 2)), full_check=True)
    assert onnx_digest(branching("a", 2)) == onnx_digest(branching("other/", 2))
    assert onnx_digest(branching("a", 2)) != onnx_digest(branching("a", 2.5))


def test_census_counts_what_is_there() -> None:
    found = complexity_of(small_model(), (2, 5, 6))
    assert found.parameters == 4 * 3 * 3 * 3 + 4
    assert found.multiply_adds == 2 * 4 * 5 * 6 * 3 * 3 * 3
    assert found.nodes == 5
    assert found.operators == {"ArgMax": 1, "Cast": 2, "Conv": 1, "Transpose": 1}
    assert found.inputs == ("image uint8 [batch,height,width,3]",)
    assert found.outputs == ("mask uint8 [batch,height,width]",)


def test_census_counts_grouped_transposed_and_matrix_products() -> None:
    model = small_model()
    tail = model.graph.node
    del tail[-2:]
    weights = {
        "grouped": np.ones((4, 2, 3, 3), np.float32),  # 2 groups of 2 channels
        "up": np.ones((4, 5, 2, 2), np.float32),
        "matrix": np.ones((5, 7), np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    tail.extend(
        [
            helper.make_node("Conv", ["logits", "grouped"], ["a"], group=2, strides=[2, 2]),
            helper.make_node("ConvTranspose", ["a", "up"], ["b"], strides=[2, 2]),
            helper.make_node("Transpose", ["b"], ["c"], perm=[0, 2, 3, 1]),
            helper.make_node("MatMul", ["c", "matrix"], ["d"]),
            helper.make_node("ArgMax", ["d"], ["e"], axis=3, keepdims=0),
            helper.make_node("Cast", ["e"], ["mask"], to=TensorProto.UINT8),
        ]
    )
    first = 4 * 7 * 9 * 27
    grouped = 4 * 3 * 4 * 2 * 9  # 7x9 without padding, stride 2: 3x4
    up = 4 * 3 * 4 * 5 * 4  # each of the 3x4 inputs makes 2x2 outputs: 6x8
    matrix = 6 * 8 * 5 * 7
    assert complexity_of(model, (1, 7, 9)).multiply_adds == first + grouped + up + matrix
