"""Precisions: their names, and which targets can hold them."""

import pytest
from onnx import TensorProto

from hardedge.deploy.precisions import cannot_hold, engines_to_build, parse_precisions
from hardedge.deploy.targets import KNOWN
from hardedge.deploy.verification.limits import parse_required_share
from hardedge.errors import BadInput
from hardedge.graphs.element_types import PRECISION_OF, QUANTISED
from hardedge.precisions import DEPLOYED, EXPORTED, PRECISIONS, precision_named


def test_names_are_read_in_order() -> None:
    assert parse_precisions("fp32, INT8,fp16") == ("fp32", "int8", "fp16")
    assert parse_precisions("mixed", DEPLOYED) == ("mixed",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fp61", r'unknown precision "fp61"\. Did you mean fp16\? Known: fp32, fp16, bf16, int8, fp8\.'),
        ("fp32,", r'unknown precision ""\. Known'),
        ("int8,fp16,int8", r'precisions "int8,fp16,int8": int8 is named twice'),
    ],
)
def test_a_faulty_list_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_precisions(text)


def test_what_targets_hold() -> None:
    known = [target for target in KNOWN if not target.startswith("openvino")]  # which asks its devices
    held = {precision: [target for target in known if not cannot_hold(target, precision)] for precision in EXPORTED}
    assert held["fp32"] == held["fp16"] == held["int8"] == known
    assert held["bf16"] == ["tensorrt", *(f"tensorrt-rtx:sm{number}" for number in (80, 86, 89, 120, 121))]
    assert [target for target in held["fp8"] if "rtx" in target] == [
        f"tensorrt-rtx:sm{number}" for number in (89, 120, 121)
    ]
    assert cannot_hold("tensorrt-rtx:sm86", "fp8") == "FP8 needs SM89 or later"


def test_the_table_of_precisions() -> None:
    """What is derived from its lines, as it is spelled in files, gates and reports."""
    assert EXPORTED == ("fp32", "fp16", "bf16", "int8", "fp8")
    assert (*EXPORTED, "mixed") == DEPLOYED
    assert {each.name: each.margin for each in PRECISIONS} == {
        **dict.fromkeys(("fp32", "fp16", "bf16"), 0.1),
        **dict.fromkeys(("int8", "fp8", "mixed"), 0.5),
    }
    assert {TensorProto.DataType.Name(kind): name for kind, name in PRECISION_OF.items()} == {
        "FLOAT": "fp32",
        "FLOAT16": "fp16",
        "BFLOAT16": "bf16",
        "INT8": "int8",
        "FLOAT8E4M3FN": "fp8",
        "DOUBLE": "fp64",
    }
    assert (TensorProto.INT8, TensorProto.FLOAT8E4M3FN) == QUANTISED
    assert all(parse_required_share(f"{name}>=0.5") == (name, 0.5) for name in EXPORTED)
    with pytest.raises(BadInput, match="fp32, fp16, bf16, int8 or fp8; 0 to 1"):
        parse_required_share("mixed>=0.5")
    arithmetic = precision_named("int8").arithmetic
    assert arithmetic == (
        "onnxruntime on a CPU in FP32, values rounded to INT8 as the graph says and every result to FP16"
    )
    assert (precision_named("mixed").counted_as, precision_named("mixed").writer) == ("int8", "hardedge tune")


def test_engines_are_pairs_and_what_cannot_be_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    engines = engines_to_build(["onnxruntime:cpu", "tensorrt-rtx:sm86", "tensorrt-rtx:sm89"], ["fp32", "fp8"])
    assert engines == (
        ("onnxruntime:cpu", "fp32"),
        ("tensorrt-rtx:sm86", "fp32"),
        ("tensorrt-rtx:sm89", "fp32"),
        ("onnxruntime:cpu", "fp8"),
        ("tensorrt-rtx:sm89", "fp8"),
    )
    assert capsys.readouterr().err == "Not built: fp8 on tensorrt-rtx:sm86: FP8 needs SM89 or later.\n"


@pytest.mark.parametrize(
    ("targets", "precisions"),
    [(["tensorrt-rtx:sm86"], ["fp16", "fp8"]), (["tensorrt-rtx:sm86", "tensorrt-rtx:sm89"], ["fp8"])],
)
def test_a_target_or_precision_without_an_engine_is_refused(targets: list[str], precisions: list[str]) -> None:
    with pytest.raises(BadInput, match=r"cannot be built:\n  fp8 on tensorrt-rtx:sm86: FP8 needs SM89 or later"):
        engines_to_build(targets, precisions)
