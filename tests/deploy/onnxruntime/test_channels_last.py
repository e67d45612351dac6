"""The resize in front of the argmax with channels last: the same masks, and only where it is known to be the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.deploy.onnxruntime.channels_last import TO_FIRST, TO_LAST, with_channels_last_answer
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner

B, C = 2, 5


def answer(
    size: tuple[int, int] | None, axis: int = 1, more: tuple[str, ...] = (), **attributes: Any
) -> onnx.ModelProto:
    """Logits [B, C, h, w] resized to `size`, or twice their size by scales, and their argmax as `mask`."""
    place, given = (
        ("scales", np.array([1, 1, 2, 2], np.float32)) if size is None else ("sizes", np.array([B, C, *size], np.int64))
    )
    inputs = ["logits", "", *((place,) if size is None else ("", place))]
    nodes = [
        helper.make_node("Resize", inputs, ["resized"], **({"mode": "linear"} | attributes)),
        helper.make_node("ArgMax", ["resized"], ["index"], axis=axis, keepdims=0),
        helper.make_node("Cast", ["index"], ["mask"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "answer",
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", C, "h", "w"])],
        [
            helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", "height", "width"]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", C, "height", "width"]) for name in more),
        ],
        [numpy_helper.from_array(given, place)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def mask_of(model: onnx.ModelProto, logits_BChw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["mask"], {"logits": logits_BChw})[0])


@pytest.mark.parametrize("size", [(64, 96), (63, 97), (8, 12), (5, 7), None])
@pytest.mark.parametrize("mode", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
def test_the_masks_are_the_same(size: tuple[int, int] | None, mode: str) -> None:
    logits_BChw = np.random.default_rng(0).normal(size=(B, C, 8, 12)).astype(np.float32)
    model = answer(size, coordinate_transformation_mode=mode)
    turned = with_channels_last_answer(model)
    onnx.checker.check_model(turned, full_check=True)
    assert [node.op_type for node in turned.graph.node] == [
        "Transpose",
        "Gather",
        "Resize",
        "Transpose",
        "ArgMax",
        "Cast",
    ]
    assert np.array_equal(mask_of(turned, logits_BChw), mask_of(model, logits_BChw))


def test_the_given_model_stays_as_it_is() -> None:
    model = answer((16, 24))
    before = model.SerializeToString(deterministic=True)
    assert with_channels_last_answer(model) is not model
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(answer((16, 24), mode="nearest"), id="nearest"),
        pytest.param(answer((4, 6), antialias=1), id="antialiased"),
        pytest.param(answer((16, 24), exclude_outside=1, mode="cubic"), id="cubic"),
        pytest.param(answer((16, 24), axis=2), id="over rows"),
        pytest.param(answer((16, 24), more=("resized",)), id="logits are an output"),
    ],
)
def test_other_answers_stay_as_they_are(model: onnx.ModelProto) -> None:
    assert with_channels_last_answer(model) is model


def test_the_orders_undo_each_other() -> None:
    assert tuple(TO_LAST[axis] for axis in TO_FIRST) == (0, 1, 2, 3)


def pixels_to_mask() -> onnx.ModelProto:
    """Images [B, H, W, 3], of every second pixel the colours as logits of three classes, resized to the images."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["colours"], perm=TO_FIRST),
        helper.make_node("AveragePool", ["colours"], ["logits"], kernel_shape=[1, 1], strides=[2, 2]),
        helper.make_node("Shape", ["colours"], ["sizes"]),
        helper.make_node("Resize", ["logits", "", "", "sizes"], ["resized"], mode="linear"),
        helper.make_node("ArgMax", ["resized"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["mask"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "pixels_to_mask",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", "height", "width"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("size", [(32, 48), (33, 41)])
def test_the_runner_gives_what_the_file_gives(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(pixels_to_mask(), path)
    assert "Gather" in [node.op_type for node in with_channels_last_answer(onnx.load(path)).graph.node]
    images_BHWC = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    plain = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected_BHW = plain.run(["mask"], {"image": images_BHWC})[0]
    assert np.array_equal(OnnxRuntimeRunner(path).masks(images_BHWC), expected_BHW)
