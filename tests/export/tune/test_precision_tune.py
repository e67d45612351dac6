"""Tune: as few nodes back in FP16 as meet the goal, and a bundle that says which and why."""

import json
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from hardedge.contracts import Bundle, ConversionAgreement, Interval, LatencyComparison, load, read_json
from hardedge.deploy.tensorrt import runner as tensorrt_runner
from hardedge.errors import BadInput, GateFailed, Unavailable
from hardedge.export.precisions.legality import legality_findings
from hardedge.export.precisions.table import precisions_text
from hardedge.export.tune import latency as tune_latency
from hardedge.export.tune import stage as stage
from hardedge.export.tune import write as tuned
from hardedge.export.tune.mixed import partly_quantised, quantised_nodes
from hardedge.export.tune.pareto import dots_of, front_of, pareto_svg
from hardedge.export.tune.record import MixtureLatency, Progress, Step, Tuning
from hardedge.export.tune.search import find_fewest, find_most, order_nodes
from hardedge.export.tune.stage import Goal, parse_goal, tune
from hardedge.graphs.element_types import element_types, precision_of
from hardedge.graphs.walking import producers


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
    found = find_fewest(11, lambda count: count, lambda count: count >= needed)
    assert found is not None
    assert found.count == needed
    assert found.tried == {count: count for count in found.tried}
    # both ends, and as many as halve ten intervals
    assert len(found.tried) <= 6
    assert needed in found.tried


def test_not_even_all_is_none() -> None:
    assert find_fewest(5, lambda count: count, lambda count: count > 5) is None


def test_the_order_weighs_error_against_multiply_adds() -> None:
    errors = {"large": 1.0, "small": 1.0, "harmless": 0.1, "sum": 0.2}
    assert order_nodes(errors, {"large": 900, "small": 50, "harmless": 50}) == ["small", "sum", "large", "harmless"]


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("miou-drop<=0.2", Goal("miou-drop", 0.2)),
        (" miou-drop <= 1 ", Goal("miou-drop", 1.0)),
        ("latency<=0.6", Goal("latency", 0.6)),
    ],
)
def test_a_goal_is_points_of_miou_or_a_share_of_the_time(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal


@pytest.mark.parametrize("allowed", range(-1, 11))
def test_most_nodes_that_are_fast_enough_are_kept(allowed: int) -> None:
    """Time grows with the nodes in FP16: the largest number within it, none where INT8 alone is too slow."""
    found = find_most(10, lambda kept: kept, lambda time: time <= allowed)
    if allowed < 0:
        assert found is None
    else:
        assert found is not None
        assert found.count == min(allowed, 10)
        assert all(kept == time for kept, time in found.tried.items())


def test_a_goal_of_latency_needs_a_target(tmp_path: Path, typed_bundle: Path, data: Path) -> None:
    with pytest.raises(BadInput, match="the goal latency<=0.6 is measured on a target that runs here. Name it with"):
        tune(typed_bundle, data, tmp_path / "tuned", goal=Goal("latency", 0.6))


@pytest.mark.parametrize("text", ["miou-drop<0.2", "time<=3", "miou-drop<=-1", ""])
def test_another_goal_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected miou-drop<=POINTS"):
        parse_goal(text)


def tuning(steps: list[Step], chosen: int, latencies: dict[int, float]) -> Tuning:
    comparisons = {
        kept: LatencyComparison(
            arm="a mixture",
            ratio=ratio,
            interval=Interval(low=ratio - 0.02, high=ratio + 0.02, confidence=90.0),
            status="different",
            detail="onnxruntime:cpu, 96x64",
            sessions=10,
            blocks=100,
            blocks_to_decide=None,
        )
        for kept, ratio in latencies.items()
    }
    return Tuning(
        made_from="a",
        goal=0.5,
        split="val",
        images=16,
        order=(),
        steps=tuple(steps),
        chosen=chosen,
        target="onnxruntime:cpu" if latencies else None,
        latencies=tuple(MixtureLatency(kept=kept, comparison=one) for kept, one in comparisons.items()),
    )


def circles_of(svg: str) -> list[tuple[str, float, float]]:
    circles = ET.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}circle")
    return [(str(one.get("class")), float(one.get("cx", "").rstrip("%")), float(one.get("cy", ""))) for one in circles]


STEPS = [step(0, 1.0, -2.0), step(4, 0.8, -0.5), step(6, 0.7, -0.6), step(9, 0.0, -0.1)]


def test_the_front_leaves_out_what_is_beaten() -> None:
    by_share = tuning(STEPS, 4, {})
    assert [dot.step.kept for dot in front_of(dots_of(by_share)[0])] == [0, 4, 9]
    svg = pareto_svg(by_share)
    found = circles_of(svg)
    assert [kind for kind, _, _ in found] == ["dot", "dot chosen", "dot", "dot"]
    assert found[0][1] > found[3][1]
    assert found[0][2] > found[3][2]
    words = "".join(ET.fromstring(svg).itertext())
    assert "no latency was measured" in words
    assert "share of the multiply-adds in INT8" in words
    assert "dashed: at most 0.5 below" in words


def test_with_latencies_the_plot_is_against_them_and_says_whose() -> None:
    by_latency = tuning(STEPS, 4, {0: 0.6, 4: 0.9, 6: 0.8, 9: 2.5})
    assert [dot.step.kept for dot in front_of(dots_of(by_latency)[0])] == [0, 6, 4, 9]
    svg = pareto_svg(by_latency)
    found = circles_of(svg)
    assert sorted(found, key=lambda one: one[1]) == [found[0], found[2], found[1], found[3]]
    words = "".join(ET.fromstring(svg).itertext())
    assert "latency over FP32's on onnxruntime:cpu, batch 1 (less is faster)" in words
    assert "this says nothing of a GPU" in words
    assert "no latency" not in words
    # a plot of half of the mixtures would mislead
    assert "no latency was measured" in pareto_svg(tuning(STEPS, 4, {0: 0.6, 9: 2.5}))


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
        assert legality_findings(mixed) == []
        assert [left.name for left in quantised_nodes(mixed)] == [node.name]


@pytest.fixture
def measured_drops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Random weights give any drop: here it is 0.1 points a node in INT8. Returns the counts that were measured."""
    real, counts = stage.measure_agreement, []

    def drop(model: onnx.ModelProto, precision: str, reference: stage.PrecisionReference) -> ConversionAgreement:
        found = real(model, precision, reference)
        counts.append(len(quantised_nodes(model)))
        return ConversionAgreement(**{**vars(found), "difference": -0.1 * counts[-1]})

    for module in (stage, tuned):
        monkeypatch.setattr(module, "measure_agreement", drop)
    return counts


def test_a_tuned_bundle_meets_the_goal_and_names_what_it_kept(
    typed_bundle: Path, data: Path, tmp_path: Path, measured_drops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the engines are built once, in the bundle's own tests
    monkeypatch.setattr(tuned, "RTX_TARGETS", ("tensorrt-rtx:sm86",))
    total = len(quantised_nodes(onnx.load(typed_bundle / "model.int8.onnx")))
    assert total > 3
    bundle, tuning = tune(typed_bundle, data, tmp_path / "tuned", goal=Goal("miou-drop", 0.25))
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
    assert re.search(rf"^mixed +{share:.1f} % ", precisions_text(bundle), re.MULTILINE)
    assert sum(entry.conversion.multiply_adds.values()) == bundle.model("fp32").census.multiply_adds
    assert sorted(measured_drops[:-1]) == sorted(total - one.kept for one in tuning.steps)
    assert [path.name for path in tmp_path.iterdir()] == ["tuned"]


KILLED = """
import os, signal
from hardedge.cli import main
from hardedge.export.tune.record import Progress
save_step = Progress.save_step

def deadly(self, step):
    save_step(self, step)
    os.kill(os.getpid(), signal.SIGKILL)

Progress.save_step = deadly
main()
"""


def test_a_killed_search_goes_on(
    typed_bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, steps = tmp_path / "tuned", tmp_path / ".tuned.partial-tune"
    words = ["tune", str(typed_bundle), "--data", str(data), "--out", str(out), "--goal", "miou-drop<=100"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    errors = json.loads((steps / "errors.json").read_text())
    measured_again: list[object] = []
    whole = stage._logits

    def logits(model: onnx.ModelProto, images: list[Path]) -> list[stage.Floats]:
        measured_again.append(model)
        return whole(model, images)

    monkeypatch.setattr(stage, "_logits", logits)
    monkeypatch.setattr(stage, "measure_agreement", lambda *_: pytest.fail("the finished step was measured again"))
    monkeypatch.setattr(tuned, "RTX_TARGETS", ())
    _, found = tune(typed_bundle, data, out, goal=Goal("miou-drop", 100))
    # the unquantised logits alone, no node's
    assert len(measured_again) == 1
    assert {one.node: one.error for one in found.order} == errors
    assert (found.chosen, [one.kept for one in found.steps]) == (0, [0])
    assert out.is_dir()
    assert not steps.exists()


def test_mixtures_are_timed_beside_fp32_where_a_target_runs(
    typed_bundle: Path, data: Path, tmp_path: Path, measured_drops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "RTX_TARGETS", ())
    monkeypatch.setattr(tune_latency, "LEAST_SECONDS", 2.0)
    _, found = tune(typed_bundle, data, tmp_path / "tuned", goal=Goal("miou-drop", 0.25), latency="onnxruntime:cpu")
    assert found.target == "onnxruntime:cpu"
    assert [one.kept for one in found.latencies] == [one.kept for one in found.steps]
    for one in found.latencies:
        assert one.comparison.arm == f"{one.kept} of {len(found.order)} nodes in FP16"
        assert one.comparison.detail.startswith("onnxruntime:cpu, 64x96, ")
        assert 0 < one.comparison.interval.low <= one.comparison.ratio <= one.comparison.interval.high
    assert "on onnxruntime:cpu" in (tmp_path / "tuned" / "pareto.svg").read_text()
    assert read_json(Tuning, tmp_path / "tuned" / Tuning.FILE) == found


def test_a_target_that_does_not_run_here_is_told_before_the_search(
    typed_bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_order", lambda *_: pytest.fail("it searched"))
    with pytest.raises(BadInput, match='unknown target "tensorrt-rtx:sm99"'):
        tune(typed_bundle, data, tmp_path / "tuned", goal=Goal("miou-drop", 1), latency="tensorrt-rtx:sm99")
    monkeypatch.setattr(tensorrt_runner, "compute_capability", lambda: None)
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    with pytest.raises(Unavailable, match="no NVIDIA GPU answers here"):
        tune(typed_bundle, data, tmp_path / "tuned", goal=Goal("miou-drop", 1), latency="tensorrt-rtx:sm86")
    assert not (tmp_path / "tuned").exists()


@pytest.mark.slow  # searches to the end
def test_a_goal_out_of_reach_and_a_bundle_without_int8_are_told(
    typed_bundle: Path, bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"has no INT8 file to tune.*--precision int8"):
        tune(bundle, data, tmp_path / "tuned", goal=Goal("miou-drop", 0.2))
    monkeypatch.setattr(stage, "measure_agreement", lambda *_: step(0, 0.0, -3.0).agreement)
    with pytest.raises(GateFailed, match=r"not even FP16 everywhere keeps the mIoU within 0\.2 points"):
        tune(typed_bundle, data, tmp_path / "tuned", goal=Goal("miou-drop", 0.2))
    assert not (tmp_path / "tuned").exists()
