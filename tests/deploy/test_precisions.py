"""Precisions: their names, and which targets can hold them."""

import pytest

from hardedge.deploy.parity.compare import MARGINS
from hardedge.deploy.precisions import DEPLOYED, PRECISIONS, cannot_hold, engines_to_build, parse_precisions
from hardedge.deploy.targets import KNOWN
from hardedge.errors import BadInput


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
    held = {precision: [target for target in KNOWN if not cannot_hold(target, precision)] for precision in PRECISIONS}
    assert held["fp32"] == held["fp16"] == held["int8"] == list(KNOWN)
    assert held["bf16"] == ["tensorrt", *(f"tensorrt-rtx:sm{number}" for number in (80, 86, 89, 120, 121))]
    assert [target for target in held["fp8"] if "rtx" in target] == [
        f"tensorrt-rtx:sm{number}" for number in (89, 120, 121)
    ]
    assert cannot_hold("tensorrt-rtx:sm86", "fp8") == "FP8 needs SM89 or later"


def test_every_precision_has_its_margin() -> None:
    assert set(MARGINS) == set(DEPLOYED)


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
