"""Two counters of one network: torch's of its forward, ours of the exported file; and of a quantised one."""

from pathlib import Path

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Bundle, load
from hardedge.graphs.canonical import node_multiply_adds
from hardedge.models import build_network
from hardedge.models.complexity import network_multiply_adds


def test_the_exported_graph_has_the_networks_multiply_adds(bundle: Path) -> None:
    manifest = load(Bundle, bundle)
    network = build_network(manifest.network).eval()
    assert manifest.model("fp32").census.multiply_adds == network_multiply_adds(network, manifest.profile.opt[1:])


def test_fp8_in_front_of_a_pooling_is_counted() -> None:
    """Beyond basic optimisation onnxruntime 1.31 makes an FP8 MaxPool of it, which it does not have."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["x again"]),
        helper.make_node("MaxPool", ["x again"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["pooled", "scale", "zero"], ["pooled8"]),
        helper.make_node("DequantizeLinear", ["pooled8", "scale", "zero"], ["pooled again"]),
        helper.make_node("Conv", ["pooled again", "w"], ["y"], "conv"),
    ]
    weights = {
        "scale": np.array(1, np.float32),
        "zero": np.array(0, ml_dtypes.float8_e4m3fn),
        "w": np.ones((8, 3, 3, 3), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", "h", "w", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    # 10x12 pooled to 5x6, without padding 3x4 outputs of 8 channels from 27 values each
    assert [(node.name, count) for node, count in node_multiply_adds(model, (1, 10, 12))] == [("conv", 3 * 4 * 8 * 27)]
