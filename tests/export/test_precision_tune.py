"""Tune: as few nodes back in FP16 as meet the goal, and a bundle that says which and why."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from hardedge.contracts import Bundle, ConversionAgreement, Interval, load, read_json
from hardedge.deploy.element_types import element_types, precision_of, producers
from hardedge.errors import BadInput, GateFailed
from hardedge.export import tune as stage
from hardedge.export.legal import findings
from hardedge.export.mixed import partly_quantised, quantised_nodes
from hardedge.export.pareto import front, pareto
from hardedge.export.precision_table import described
from hardedge.export.tune import parse_goal, tune
from hardedge.export.tune_search import fewest, order_of
from hardedge.export.tuning import Progress, Step, Tuning


def step(kept: int, share: float, difference: float) -> Step:
    agreement = ConversionAgreement(
        arithmetic="none",
        logit_difference=0.0,
        logit_rms=0.0,
        logit_largest=0.0,
        images=1,
        pixel_agreement=1.0,
        miou_reference=50.0,
        miou=50.0 + difference,
        difference=difference,
        interval=Interval(low=difference - 0.1, high=difference + 0.1, confidence=90.0),
        margin=0.5,
        status="pass",
    )
    return Step(kept=kept, int8_share=share, agreement=agreement)


@pytest.mark.parametrize("needed", range(12))
def test_bisection_finds_the_fewest(needed: int) -> None:
    found = fewest(11, lambda count: count, lambda count: count >= needed)
    assert found is not None
    assert found.count == needed
    assert found.tried == {count: count for count in found.tried}
    # both ends, and as many as halve ten intervals
    assert len(found.tried) <= 6
    assert needed in found.tried


def test_not_even_all_is_none() -> None:
    assert fewest(5, lambda count: count, lambda count: count > 5) is None


def test_the_order_weighs_error_against_multiply_adds() -> None:
    errors = {"large": 1.0, "small": 1.0, "harmless": 0.1, "sum": 0.2}
    assert order_of(errors, {"large": 900, "small": 50, "harmless": 50}) == ["small", "sum", "large", "harmless"]


@pytest.mark.parametrize(("text", "points"), [("miou-drop<=0.2", 0.2), (" miou-drop <= 1 ", 1.0)])
def test_a_goal_is_points_of_miou(text: str, points: float) -> None:
    assert parse_goal(text) == points


@pytest.mark.parametrize("text", ["miou-drop<0.2", "latency<=3", "miou-drop<=-1", ""])
def test_another_goal_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected miou-drop<=POINTS"):
        parse_goal(text)


def test_the_front_leaves_out_what_is_beaten() -> None:
    steps = [step(0, 1.0, -2.0), step(4, 0.8, -0.5), step(6, 0.7, -0.6), step(9, 0.0, -0.1)]
    assert [one.kept for one in front(steps)] == [0, 4, 9]
    root = ET.fromstring(pareto(steps, 4))
    circles = root.findall(".//{http://www.w3.org/2000/svg}circle")
    assert [circle.get("fill") for circle in circles] == ["white", "#36c", "white", "white"]
    assert float(circles[0].get("cx", "nan")) > float(circles[3].get("cx", "nan"))
    assert float(circles[0].get("cy", "nan")) > float(circles[3].get("cy", "nan"))
    assert "no latency" in "".join(root.itertext())


def test_finished_steps_hold_for_one_key(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "steps", {"bundle": "a"})
    progress.save_errors({"n1": 0.5})
    progress.save_step(step(3, 0.5, -0.2))
    again = Progress(tmp_path / "steps", {"bundle": "a"})
    assert again.errors() == {"n1": 0.5}
    assert again.step(3) == step(3, 0.5, -0.2)
    assert again.step(2) is None
    other = Progress(tmp_path / "steps", {"bundle": "b"})
    assert (other.errors(), other.step(3)) == ({}, None)


@pytest.fixture
def int8(typed_bundle: Path) -> onnx.ModelProto:
    return onnx.load(typed_bundle / "model.int8.onnx")


def test_all_of_the_nodes_is_the_file_itself_and_none_is_fp16(int8: onnx.ModelProto) -> None:
    nodes = [node.name for node in quantised_nodes(int8)]
    whole = partly_quantised(int8, nodes)
    assert list(whole.graph.node) == list(int8.graph.node)
    plain = partly_quantised(int8, ())
    onnx.checker.check_model(plain, full_check=True)
    assert not {node.op_type for node in plain.graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    assert {tensor.data_type for tensor in plain.graph.initializer} <= {TensorProto.FLOAT16, TensorProto.INT64}


def test_each_node_can_be_the_only_one_in_int8(int8: onnx.ModelProto) -> None:
    for node in quantised_nodes(int8):
        mixed = partly_quantised(int8, {node.name})
        onnx.checker.check_model(mixed, full_check=True)
        assert findings(mixed) == []
        assert [left.name for left in quantised_nodes(mixed)] == [node.name]


@pytest.fixture
def measured_drops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Random weights give any drop: here it is 0.1 points a node in INT8. Returns the counts that were measured."""
    real, counts = stage.measured, []

    def drop(model: onnx.ModelProto, precision: str, reference: stage.Reference) -> ConversionAgreement:
        found = real(model, precision, reference)
        counts.append(len(quantised_nodes(model)))
        return ConversionAgreement(**{**vars(found), "difference": -0.1 * counts[-1]})

    monkeypatch.setattr(stage, "measured", drop)
    return counts


def test_a_tuned_bundle_meets_the_goal_and_names_what_it_kept(
    typed_bundle: Path, data: Path, tmp_path: Path, measured_drops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the engines are built once, in the bundle's own tests
    monkeypatch.setattr(stage, "TARGETS", ("tensorrt-rtx:sm86",))
    total = len(quantised_nodes(onnx.load(typed_bundle / "model.int8.onnx")))
    assert total > 3
    bundle, tuning = tune(typed_bundle, data, tmp_path / "tuned", goal=0.25)
    assert tuning.chosen == total - 2
    assert load(Bundle, tmp_path / "tuned") == bundle
    assert read_json(Tuning, tmp_path / "tuned" / Tuning.FILE) == tuning
    entry = bundle.model("mixed")
    assert entry.conversion is not None
    model = onnx.load(tmp_path / "tuned" / entry.path)
    types, made_by = element_types(model), producers(model)
    names = {node.name: node for node in model.graph.node}
    assert [node.source for node in entry.conversion.kept] == [one.node for one in tuning.order[: total - 2]]
    for node in entry.conversion.kept:
        assert names[node.node].op_type == node.operator
        assert precision_of(names[node.node], types, made_by) in ("fp16", None)
        assert node.why.startswith("quantised alone it moves the logits by ")
    assert len(quantised_nodes(model)) == 2
    share = 100 * entry.conversion.multiply_adds.get("int8", 0) / entry.census.multiply_adds
    assert re.search(rf"^mixed +{share:.1f} % ", described(bundle), re.MULTILINE)
    assert sum(entry.conversion.multiply_adds.values()) == bundle.model("fp32").census.multiply_adds
    assert sorted(measured_drops[:-1]) == sorted(total - one.kept for one in tuning.steps)
    assert [path.name for path in tmp_path.iterdir()] == ["tuned"]


def test_a_killed_search_goes_on(
    typed_bundle: Path, data: Path, tmp_path: Path, measured_drops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.array([one.error for one in stage._order(stage._open(typed_bundle, data, tmp_path / "tuned"))])
    with monkeypatch.context() as patch:
        patch.setattr(stage, "pareto", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tune(typed_bundle, data, tmp_path / "tuned", goal=0.25)
    assert not (tmp_path / "tuned").exists()
    before = len(measured_drops)
    monkeypatch.setattr(stage, "TARGETS", ())
    _, tuning = tune(typed_bundle, data, tmp_path / "tuned", goal=0.25)
    # the finished steps were read, only the test split's verdict on the result is new
    assert len(measured_drops) == before + 1
    np.testing.assert_array_equal([one.error for one in tuning.order], whole)


def test_a_goal_out_of_reach_and_a_bundle_without_int8_are_told(
    typed_bundle: Path, bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"has no INT8 file to tune.*--precision int8"):
        tune(bundle, data, tmp_path / "tuned", goal=0.2)
    monkeypatch.setattr(stage, "measured", lambda *_: step(0, 0.0, -3.0).agreement)
    with pytest.raises(GateFailed, match=r"not even FP16 everywhere keeps the mIoU within 0\.2 points"):
        tune(typed_bundle, data, tmp_path / "tuned", goal=0.2)
    assert not (tmp_path / "tuned").exists()
