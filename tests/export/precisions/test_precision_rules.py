"""What NVIDIA's parser refuses: a legal graph, and one for each rule that it breaks."""

from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.export.precisions.legality import UNSUPPORTED, legality_findings

Change = Callable[[onnx.ModelProto], None]


def legal() -> onnx.ModelProto:
    """uint8 pixels, a quantised convolution with one scale a channel, argmax, uint8 mask."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], "to_half", to=TensorProto.FLOAT16),
        helper.make_node("Transpose", ["pixels"], ["x"], "to_channels", perm=[0, 3, 1, 2]),
        helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["x_int8"], "quantise_x"),
        helper.make_node("DequantizeLinear", ["x_int8", "x_scale", "zero"], ["x_again"], "dequantise_x"),
        helper.make_node("QuantizeLinear", ["w", "w_scale", "zeros"], ["w_int8"], "quantise_w", axis=0),
        helper.make_node("DequantizeLinear", ["w_int8", "w_scale", "zeros"], ["w_again"], "dequantise_w", axis=0),
        helper.make_node("Conv", ["x_again", "w_again", "b"], ["logits"], "conv", kernel_shape=[1, 1]),
        helper.make_node("ArgMax", ["logits"], ["classes"], "argmax", axis=1, keepdims=0),
        helper.make_node("Cast", ["classes"], ["half"], "from_classes", to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["mask"], "to_mask", to=TensorProto.UINT8),
    ]
    weights = {
        "w": np.ones((4, 3, 1, 1), np.float16),
        "b": np.zeros(4, np.float16),
        "x_scale": np.array(0.5, np.float16),
        "w_scale": np.full(4, 0.25, np.float16),
        "zero": np.array(0, np.int8),
        "zeros": np.zeros(4, np.int8),
    }
    graph = helper.make_graph(
        nodes,
        "legal",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", "h", "w", 3])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["b", "h", "w"])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def put(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    tensor = next((tensor for tensor in model.graph.initializer if tensor.name == name), None)
    (tensor or model.graph.initializer.add()).CopyFrom(numpy_helper.from_array(value, name))


def asymmetric(model: onnx.ModelProto) -> None:
    put(model, "zero", np.array(3, np.int8))


def quantised_bias(model: onnx.ModelProto) -> None:
    put(model, "b_int32", np.zeros(4, np.int32))
    put(model, "b_scale", np.ones(4, np.float16))
    node = helper.make_node("DequantizeLinear", ["b_int32", "b_scale"], ["b_again"], "dequantise_b", axis=0)
    model.graph.node.insert(0, node)
    node_of(model, "conv").input[2] = "b_again"


def one_scale_for_all_channels(model: onnx.ModelProto) -> None:
    put(model, "w_scale", np.array(0.25, np.float16))
    put(model, "zeros", np.array(0, np.int8))


def many_scales_for_an_activation(model: onnx.ModelProto) -> None:
    put(model, "x_scale", np.full(3, 0.5, np.float16))


def unsigned(model: onnx.ModelProto) -> None:
    put(model, "zero", np.array(0, np.uint8))


def no_scale(model: onnx.ModelProto) -> None:
    put(model, "x_scale", np.array(0, np.float16))


def computed_scale(model: onnx.ModelProto) -> None:
    put(model, "base", np.array(0.5, np.float16))
    model.graph.node.insert(0, helper.make_node("Abs", ["base"], ["made"], "abs"))
    for name in ("quantise_x", "dequantise_x"):
        node_of(model, name).input[1] = "made"


def transposed_before_the_cast(model: onnx.ModelProto) -> None:
    transpose, cast = node_of(model, "to_channels"), node_of(model, "to_half")
    transpose.input[0], transpose.output[0] = "image", "channels"
    cast.input[0], cast.output[0] = "channels", "x"
    nodes = [transpose, cast, *[node for node in model.graph.node if node.name not in ("to_channels", "to_half")]]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def mask_from_integers(model: onnx.ModelProto) -> None:
    node_of(model, "to_mask").input[0] = "classes"


def double(model: onnx.ModelProto) -> None:
    node_of(model, "from_classes").attribute[0].i = TensorProto.DOUBLE


def foreign(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    node_of(model, "quantise_x").domain = "com.microsoft"


def unsupported(model: onnx.ModelProto) -> None:
    model.graph.node.insert(2, helper.make_node("Det", ["x"], ["determinant"], "det"))


def test_a_legal_graph_has_no_finding() -> None:
    model = legal()
    onnx.checker.check_model(model, full_check=True)
    assert legality_findings(model) == []


def test_fp8_is_as_legal_as_int8() -> None:
    model = legal()
    put(model, "zero", np.array(0, ml_dtypes.float8_e4m3fn))
    put(model, "zeros", np.zeros(4, ml_dtypes.float8_e4m3fn))
    onnx.checker.check_model(model, full_check=True)
    assert legality_findings(model) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (asymmetric, "quantise_x (QuantizeLinear): has a zero point that is not 0"),
        (quantised_bias, "conv (Conv): has a quantised bias"),
        (
            one_scale_for_all_channels,
            "conv (Conv): has one scale for all channels of its weight, expected one a channel",
        ),
        (many_scales_for_an_activation, "quantise_x (QuantizeLinear): has 3 scales for one activation, expected one"),
        (unsigned, "quantise_x (QuantizeLinear): quantises to UINT8, expected INT8 or FLOAT8E4M3FN"),
        (no_scale, "quantise_x (QuantizeLinear): has a scale of 0"),
        (computed_scale, "quantise_x (QuantizeLinear): has a scale that is no constant"),
        (
            transposed_before_the_cast,
            "to_channels (Transpose): reads uint8, which TensorRT takes as an input's type only: cast first",
        ),
        (mask_from_integers, "to_mask (Cast): casts to uint8 from another type than float32 or float16"),
        (double, "from_classes (Cast): computes in float64"),
        (foreign, "quantise_x (QuantizeLinear): an operator of the domain com.microsoft, which TensorRT does not know"),
        (unsupported, "det (Det): an operator that TensorRT does not have"),
    ],
)
def test_each_rule_names_the_node(change: Change, expected: str) -> None:
    model = legal()
    change(model)
    assert expected in [str(finding) for finding in legality_findings(model)]


def test_bf16_gaps_and_float64_weights_are_named() -> None:
    nodes = [
        helper.make_node("HardSwish", ["x"], ["y"], "swish"),
        helper.make_node("Cast", ["y"], ["mask"], "to_mask", to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "gaps",
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [1])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, [1])],
        [numpy_helper.from_array(np.zeros(2), "unused")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    assert [str(finding) for finding in legality_findings(model)] == [
        "swish (HardSwish): has no BF16 form in TensorRT-RTX",
        "to_mask (Cast): casts to uint8 from another type than float32 or float16",
        "unused (weight): float64",
    ]


def test_attributes_that_the_parser_refuses_are_named() -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "", "sizes"], ["a"], "smooth", mode="linear", antialias=1),
        helper.make_node(
            "Resize", ["a", "", "", "sizes"], ["b"], "symmetric", coordinate_transformation_mode="half_pixel_symmetric"
        ),
        helper.make_node("Resize", ["b", "", "", "sizes"], ["y"], "plain", antialias=0, mode="linear"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "y")]
    sizes = numpy_helper.from_array(np.array([1, 3, 8, 8]), "sizes")
    graph = helper.make_graph(nodes, "resized", values[:1], values[1:], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert [str(finding) for finding in legality_findings(model)] == [
        "smooth (Resize): has antialias 1, which TensorRT does not take",
        "symmetric (Resize): has coordinate_transformation_mode half_pixel_symmetric, which TensorRT does not take",
    ]


def test_dft_is_left_to_the_builders_that_have_it() -> None:
    """TensorRT has it from 11.2.1 on; others refuse it themselves."""
    assert "DFT" not in UNSUPPORTED
