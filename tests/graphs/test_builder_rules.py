"""What builders get wrong without a word: found in graphs, refused or told, and listed in the document."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from hardedge.errors import BadInput
from hardedge.graphs.builder_rules import (
    RULES,
    Affected,
    builder_faults,
    builder_warnings,
    require_right_builder,
    require_rightly_built,
    rules_table,
)


def model_of(*nodes: onnx.NodeProto, opset: int = 20) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    return helper.make_model(
        helper.make_graph(list(nodes), "graph", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", opset)]
    )


def sample(**attributes: str) -> onnx.NodeProto:
    return helper.make_node("GridSample", ["x", "grid"], ["y"], "warp", **attributes)


@pytest.mark.parametrize(
    ("attributes", "opset", "found"),
    [
        ({}, 20, True),  # linear is the default
        ({"mode": "linear"}, 21, True),
        ({"mode": "cubic"}, 20, True),
        ({"mode": "nearest"}, 20, False),
        ({"mode": "bilinear"}, 18, False),
    ],
)
def test_grid_sample_is_refused_in_the_opsets_whose_names_the_parser_does_not_know(
    attributes: dict[str, str], opset: int, found: bool
) -> None:
    model = model_of(sample(**attributes), opset=opset)
    assert [str(fault)[:23] for fault in builder_faults(model, "wrong")] == ["warp (GridSample): line"] * found
    if found:
        with pytest.raises(
            BadInput, match=r"(?s)model.onnx.*warp \(GridSample\).*TensorRT 10.0 to 11.1.*4646.*--opset 18"
        ):
            require_rightly_built(model, "model.onnx")
    else:
        require_rightly_built(model, "model.onnx")


@pytest.mark.parametrize(
    ("builder", "version", "refused"),
    [
        ("tensorrt", "10.13.3.9", True),
        ("tensorrt", "11.1.0.106", True),
        ("tensorrt", "11.4.1.1", False),
        ("tensorrt", "8.6.1", False),
        ("tensorrt_rtx", "1.5.0.1", True),
        ("tensorrt_rtx", "1.7.1.116", False),
    ],
)
def test_a_build_refuses_what_its_own_version_gets_wrong(builder: str, version: str, refused: bool) -> None:
    model = model_of(sample())
    if refused:
        with pytest.raises(BadInput, match=f"{builder} {version} would build f.onnx, and give other values"):
            require_right_builder(model, "f.onnx", builder, version)
    else:
        require_right_builder(model, "f.onnx", builder, version)


def test_a_version_without_an_end_is_told_and_never_refused() -> None:
    open_end = Affected("tensorrt", "10", None)
    assert not open_end.holds("tensorrt", "10.12.0")
    nodes = [
        helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BOOL),
        helper.make_node("Or", ["b", "b"], ["y"], "either"),
    ]
    (warning,) = builder_warnings(model_of(*nodes))
    assert warning.startswith("either (Or): Or of a value that was cast to bool gives false for true (TensorRT 10;")
    require_rightly_built(model_of(*nodes), "model.onnx")


def test_attention_is_told_once_and_other_products_are_not() -> None:
    attention = [
        helper.make_node("Softmax", ["x"], ["weights"]),
        helper.make_node("MatMul", ["weights", "x"], ["first"], "attend"),
        helper.make_node("Softmax", ["first"], ["again"]),
        helper.make_node("MatMul", ["again", "x"], ["y"], "attend again"),
    ]
    (warning,) = builder_warnings(model_of(*attention))
    assert warning.startswith("attend (MatMul)")
    assert "4853" in warning
    assert builder_warnings(model_of(helper.make_node("MatMul", ["x", "x"], ["y"], "product"))) == []


def test_every_rule_has_a_source_and_stands_in_the_document() -> None:
    page = (Path(__file__).parents[2] / "docs/precision.md").read_text()
    assert rules_table() in page
    for rule in RULES:
        assert "https://github.com/" in rule.source
        assert onnx.defs.has(rule.operator)
        assert onnx.defs.get_schema(rule.operator, 23).since_version >= 1
