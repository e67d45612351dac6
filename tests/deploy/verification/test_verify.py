"""The verify stage on a real bundle and real engines."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from PIL import Image

from hardedge.contracts import Bundle, ClassInfo, Report, Task, load
from hardedge.data.opening import open_dataset
from hardedge.deploy.engines.build import build
from hardedge.deploy.report.gallery import Shot
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.runs import telling_images
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput

COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)])
ALL_GATES = Gates(max_miou_drop=0.0, max_unseen=40.0, max_overhead=1.0, require="level0")


def verified(bundle: Path, data: Path | None, tmp_path: Path, gates: Gates = ALL_GATES) -> Report:
    engine = tmp_path / "engine"
    build(bundle, "onnxruntime:cpu", engine)
    return verify(bundle, [engine], data, tmp_path / "report", gates=gates, latency_seconds=0)


def test_a_faithful_bundle_passes_every_gate(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    report = verify(shared_bundle, [shared_engine], shared_data, out, gates=ALL_GATES, latency_seconds=12)
    assert report.verdict == "pass"
    assert [(gate.name, gate.status) for gate in report.gates] == [
        ("--max-miou-drop", "pass"),
        ("--max-overhead", "pass"),
        ("--require", "pass"),
        ("batches", "pass"),
        ("image sizes", "pass"),
    ]
    assert report.certificate.level0.status == report.certificate.level1.status == "identical"
    assert report.certificate.level2.status == report.overhead.status == "implied"
    assert report.certificate.level2.noise_floor is not None
    assert report.certificate.level2.control is not None
    assert report.overhead.ratio == report.certificate.level2.noise_floor.ratio
    (parity,) = report.parity
    assert (parity.difference, parity.interval.low, parity.interval.high) == (0, 0, 0)
    assert parity.pixel_agreement == parity.boundary_agreement == parity.golden_agreement == 1
    assert parity.miou == parity.miou_reference == report.metrics.miou
    assert report.latency[0].size == (64, 96)
    assert report.latency[0].p50 <= report.latency[0].p90 <= report.latency[0].p99
    assert load(Report, out) == report
    assert json.loads((out / "report.json").read_text())["certificate"]["level0"]["status"] == "identical"
    assert "<!doctype html>" in (out / "report.html").read_text()
    suite = ElementTree.parse(out / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("10", "0", "1")


def changed_weight(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    values = np.frombuffer(tensor.raw_data, np.float32).copy()
    values[0] = np.nextafter(values[0], np.inf)
    tensor.raw_data = values.tobytes()


def added_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Identity", ["logits"], ["idle"]))


def left_in_branch_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "hardness_head.weight"))


@pytest.mark.parametrize(
    ("tamper", "level1"),
    [(changed_weight, "identical"), (added_node, "different"), (left_in_branch_weight, "different")],
)
def test_the_certificate_fails_on_a_changed_file_with_a_fresh_manifest(
    tamper: Callable[[onnx.ModelProto], None],
    level1: str,
    own_bundle: Path,
    shared_data: Path,
    tmp_path: Path,
    resealed: Callable[..., Bundle],
) -> None:
    model = onnx.load(own_bundle / "model.onnx")
    tamper(model)
    onnx.save(model, own_bundle / "model.onnx")
    resealed(own_bundle)
    report = verified(own_bundle, shared_data, tmp_path)
    assert report.verdict == "fail"
    assert report.certificate.level0.status == "different"
    assert report.certificate.level1.status == level1
    assert report.certificate.level2.status == report.overhead.status == "not run here"
    assert {gate.name: gate.status for gate in report.gates} == {
        "--max-miou-drop": "pass",
        "--max-overhead": "inconclusive",
        "--require": "fail",
        "batches": "pass",
        "image sizes": "pass",
    }


def test_metadata_changes_no_verdict(
    own_bundle: Path, shared_data: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    model = onnx.load(own_bundle / "model.onnx")
    model.metadata_props.add(key="task", value="street")
    onnx.save(model, own_bundle / "model.onnx")
    resealed(own_bundle)
    assert verified(own_bundle, shared_data, tmp_path).verdict == "pass"


def test_a_worse_network_fails_parity(
    own_bundle: Path,
    shared_data: Path,
    tmp_path: Path,
    resealed: Callable[..., Bundle],
    color_model: Callable[..., onnx.ModelProto],
) -> None:
    onnx.save(color_model(COLORS, shift=4e4), own_bundle / "model.onnx")
    resealed(own_bundle)
    report = verified(own_bundle, shared_data, tmp_path)
    (parity,) = report.parity
    assert parity.status == "fail"
    assert parity.interval.high < -parity.margin
    assert parity.pixel_agreement < 1
    assert next(gate.status for gate in report.gates if gate.name == "--max-miou-drop") == "fail"


def test_without_test_images_the_golden_ones_are_replayed(shared_bundle: Path, tmp_path: Path) -> None:
    report = verified(shared_bundle, None, tmp_path, Gates())
    assert report.verdict == "inconclusive"
    assert report.parity == ()
    statuses = {gate.name: gate.status for gate in report.gates}
    assert statuses == {"golden images": "pass", "batches": "pass", "image sizes": "pass"}
    (found,) = report.consistency
    assert (found.changed, found.agreement, found.clear) == (0, 1.0, 1.0)
    assert found.batches == ((1, 64, 96), (2, 64, 96))
    assert found.sizes == ((32, 32), (64, 96), (128, 192))
    assert "100.000%" in report.gates[0].found


def test_a_wrong_golden_mask_fails(own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]) -> None:
    mask = next((own_bundle / "golden/masks").glob("*.png"))
    Image.fromarray(np.zeros((64, 96), np.uint8)).save(mask)
    resealed(own_bundle)
    report = verified(own_bundle, None, tmp_path, Gates())
    assert (report.gates[0].status, report.verdict) == ("fail", "fail")


def test_another_label_is_refused(
    shared_bundle: Path, shared_engine: Path, tmp_path: Path, make_tiny_dataset: Callable[..., Path]
) -> None:
    data = make_tiny_dataset(tmp_path / "tiny", train=1, val=1, test=6)
    id = open_dataset(data).splits["test"][1]
    Image.fromarray(np.zeros((64, 96), np.uint8)).save(data / "masks" / f"{id}.png")
    with pytest.raises(BadInput, match=rf"(?s)is not the data of this bundle.*masks/{id}.png: another file"):
        verify(shared_bundle, [shared_engine], data, tmp_path / "report", gates=Gates())
    assert not (tmp_path / "report").exists()


def test_an_engine_of_another_bundle_is_refused(
    own_bundle: Path, shared_engine: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    resealed(own_bundle, loss="recall")
    with pytest.raises(BadInput, match="was built from another bundle"):
        verify(own_bundle, [shared_engine], None, tmp_path / "report", gates=Gates())


@pytest.mark.parametrize(
    "file", ["model.onnx", "control.onnx", "certificate.json", "reference/confusion.npz", "bundle.json"]
)
def test_one_changed_byte_is_named(own_bundle: Path, tmp_path: Path, file: str) -> None:
    content = bytearray((own_bundle / file).read_bytes())
    content[len(content) // 2] ^= 1
    (own_bundle / file).write_bytes(content)
    with pytest.raises(BadInput, match=file):
        verify(own_bundle, [], None, tmp_path / "report", gates=Gates())


def test_engines_for_other_devices_are_listed_and_not_run(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from hardedge.deploy.machine import compute_capability

    if compute_capability() == "sm86":
        pytest.skip("tests an engine for another device, and this machine has sm86")
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx comes with hardedge[export] on x86-64")
    build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    engines = [tmp_path / "engine", shared_engine]
    report = verify(
        *(shared_bundle, engines, shared_data, tmp_path / "out"), gates=Gates(max_unseen=40), latency_seconds=0
    )
    assert [engine.target for engine in report.engines] == ["tensorrt-rtx:sm86", "onnxruntime:cpu"]
    assert [run.target for run in report.parity] == ["onnxruntime:cpu"]
    assert report.verdict == "pass"
    assert (
        "Not run on this machine: tensorrt-rtx:sm86. tensorrt-rtx:sm86 was built ahead of time"
        in capfd.readouterr().err
    )
    only = verify(shared_bundle, engines[:1], shared_data, tmp_path / "only", gates=Gates(), latency_seconds=0)
    assert (only.parity, only.latency, only.verdict) == ((), (), "inconclusive")


def test_six_test_images_pass_nothing_unless_the_user_says_so(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path
) -> None:
    report = verify(
        *(shared_bundle, [shared_engine], shared_data, tmp_path / "out"),
        gates=Gates(max_miou_drop=0.1),
        latency_seconds=0,
    )
    (parity,), (gate, *others) = report.parity, report.gates
    assert [(each.name, each.status) for each in others] == [("batches", "pass"), ("image sizes", "pass")]
    assert (parity.status, gate.status, report.verdict) == ("inconclusive",) * 3
    assert (parity.images, parity.differing) == (6, 0)
    assert parity.unseen == pytest.approx(39.3, abs=0.05)
    for said in (parity.detail, gate.found):
        assert "23 more images would, as at most 10 % may stay unseen (--max-unseen)" in said
    assert parity.detail.startswith("no pixel differs on these 6 images; ")
    assert parity.detail in (tmp_path / "out/summary.md").read_text()


def test_telling_images_say_why_they_are_told() -> None:
    counts_NCC = np.array([[[10 - wrong, wrong], [0, 10]] for wrong in (1, 9, 2, 8, 3)])
    classes = (ClassInfo(name="road", color=(0, 0, 0)), ClassInfo(name="car", color=(9, 9, 9)))
    task = Task(classes=classes, ignore_index=255)
    shots = [
        Shot(str(index), 0.0, None, differs, hardness, (), "", "", (1, 1))
        for index, (differs, hardness) in enumerate([(0, 1), (0, 2), (5, 1), (0, 1), (0, 9)])
    ]
    assert telling_images(counts_NCC, task, shots) == {
        1: ("most pixels wrong", "most pixels wrong of road", "most pixels wrong of car"),
        4: ("hardest by stored hardness", "median share of wrong pixels"),
        2: ("most pixels unlike the reference's",),
        3: ("second most pixels wrong",),
        0: ("first of the test split",),
    }
    assert "hardest by stored hardness" not in str(telling_images(counts_NCC, task))


def test_verify_runs_without_torch(shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
bundle, engine, data, out = map(Path, sys.argv[1:])
print(verify(bundle, [engine], data, out, gates=Gates(max_unseen=40), latency_seconds=0).verdict)
"""
    paths = [str(path) for path in (shared_bundle, shared_engine, shared_data, tmp_path / "report")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("pass\n", "")
