"""Files of others that would take all time, all memory, or write themselves out to millions of nodes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.deploy.bundles import trial
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.foreign.forms import read_foreign
from hardedge.errors import BadInput

IMAGE_BHWC = np.zeros((1, 8, 8, 3), np.uint8)


def _model(
    nodes: list[onnx.NodeProto],
    initialisers: list[onnx.TensorProto],
    functions: list[onnx.FunctionProto],
    shape: tuple[str, ...] = tuple("abcd"),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, "h", "w", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        initialisers,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)


def _nested(levels: int) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
    functions = []
    for level in range(levels):
        inner = [helper.make_node("Identity", ["a"], ["b"]), helper.make_node("Identity", ["b"], ["c"])]
        if level:
            inner = [helper.make_node(f"f{level - 1}", [a], [b], domain="f") for a, b in (("a", "b"), ("b", "c"))]
        functions.append(helper.make_function("f", f"f{level}", ["a"], ["c"], inner, opsets))
    cast = helper.make_node("Cast", ["x"], ["z"], to=TensorProto.FLOAT)
    return _model([cast, helper.make_node(f"f{levels - 1}", ["z"], ["y"], domain="f")], [], functions)


def test_nested_functions_are_counted_before_anything_writes_them_out(tmp_path: Path) -> None:
    onnx.save(_nested(23), tmp_path / "bomb.onnx")
    assert (tmp_path / "bomb.onnx").stat().st_size < 4000
    with pytest.raises(BadInput, match="8388609 nodes once its functions are written out"):
        read_foreign(tmp_path / "bomb.onnx")
    onnx.save(_nested(5), tmp_path / "fine.onnx")
    assert len(read_foreign(tmp_path / "fine.onnx").functions) == 5


def test_functions_in_a_circle_are_refused(tmp_path: Path) -> None:
    model = _nested(3)
    model.functions[0].node[0].op_type, model.functions[0].node[0].domain = "f2", "f"
    onnx.save(model, tmp_path / "circle.onnx")
    with pytest.raises(BadInput, match="in a circle"):
        read_foreign(tmp_path / "circle.onnx")


def _endless() -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["z"], to=TensorProto.FLOAT),
        helper.make_node("Loop", ["", "true", "z"], ["y"], body=body),
    ]
    return _model(nodes, [numpy_helper.from_array(np.array(True), "true")], [])


def test_a_file_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 6)
    with pytest.raises(
        BadInput, match=r"theirs\.onnx does not run on one image, 1x8x8x3 \(it did not end within 6 s\)"
    ):
        trial.require_ends(_endless(), "x", IMAGE_BHWC, "y", "theirs.onnx")


def test_a_file_that_takes_all_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_memory", lambda: 6 << 30)
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["huge"]), helper.make_node("ReduceSum", ["huge"], ["y"])]
    model = _model(nodes, [numpy_helper.from_array(np.array([2 << 30]), "shape")], [], ("a",))
    with pytest.raises(BadInput, match=r"needs more than 6\.0 GiB of memory"):
        trial.require_ends(model, "x", IMAGE_BHWC, "y", "theirs.onnx")


def test_a_file_that_ends_runs() -> None:
    model = _model([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], [], [])
    trial.require_ends(model, "x", IMAGE_BHWC, "y", "theirs.onnx")


def _as_bundle_file(model: onnx.ModelProto, path: Path) -> Path:
    """The file with the input and output of a bundle's network."""
    for node in model.graph.node:
        node.input[:] = ["image" if name == "x" else name for name in node.input]
        if node.output[0] == "y":
            node.output[0] = "y before"
    nodes = [
        helper.make_node("ReduceMax", ["y before"], ["largest"], keepdims=0),
        helper.make_node("Shape", ["image"], ["shape of image"]),
        helper.make_node("Slice", ["shape of image", "zero", "three"], ["size"]),
        helper.make_node("Expand", ["largest", "size"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["mask"], to=TensorProto.UINT8),
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array([3]), "three")]
    )
    del model.graph.input[:], model.graph.output[:]
    model.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "h", "w", 3]))
    model.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, [1, "h", "w"]))
    onnx.save(model, path)
    return path


def test_a_bundles_file_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = _as_bundle_file(_endless(), tmp_path / "model.onnx")
    monkeypatch.setattr(trial, "SECONDS", 6)
    with pytest.raises(BadInput, match="it did not end within 6 s"):
        check_model(path)


def test_a_bundles_file_that_takes_all_memory_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trial, "_memory", lambda: 6 << 30)
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["y"])]
    model = _model(nodes, [numpy_helper.from_array(np.array([2 << 30]), "shape")], [], ("a",))
    with pytest.raises(BadInput, match=r"needs more than 6\.0 GiB of memory"):
        check_model(_as_bundle_file(model, tmp_path / "model.onnx"))


def test_a_bundles_file_is_tried_once_and_nested_functions_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[str] = []
    monkeypatch.setattr("hardedge.deploy.bundles.validity.require_ends", lambda *given: tried.append(given[-1]))
    path = _as_bundle_file(_model([helper.make_node("Cast", ["x"], ["y"], to=1)], [], []), tmp_path / "model.onnx")
    check_model(path)
    check_model(path)
    assert tried == [str(path)]
    with pytest.raises(BadInput, match="8388614 nodes once its functions are written out"):
        check_model(_as_bundle_file(_nested(23), tmp_path / "nested.onnx"))
