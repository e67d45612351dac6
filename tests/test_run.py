"""`hardedge run` as a user runs it, and what can be done with what it leaves behind."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hardedge.cli import cli
from hardedge.contracts import Bundle, Certificate, Check, Checkpoint, Engine, Report, load, read_json
from hardedge.data import open_dataset
from hardedge.errors import BadInput, GateFailed
from hardedge.metrics import confusion_counts, mean_iou

ROOT = Path(__file__).parents[1]
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def report(finished: Path) -> Report:
    return load(Report, finished / "run/report")


def test_the_verdicts(report: Report) -> None:
    assert report.verdict == "pass"
    assert report.certificate.level0.status == "identical"
    assert report.certificate.level0.rtx_engines.status == "identical"
    assert report.certificate.level1.status == "identical"
    assert report.certificate.level2.status == "implied"
    assert report.certificate.level2.noise_floor is not None
    assert [(parity.target, parity.status) for parity in report.parity] == [("onnxruntime:cpu", "pass")]
    assert [engine.target for engine in report.engines] == ["onnxruntime:cpu", "tensorrt-rtx:sm86"]
    passed = ["--require", "batches", "image sizes"]
    assert [(gate.name, gate.status) for gate in report.gates] == [(name, "pass") for name in passed]


def test_the_report_fits_its_published_schema(finished: Path) -> None:
    schema = json.loads((ROOT / "docs/schema/report.json").read_text())
    jsonschema.validate(json.loads((finished / "run/report/report.json").read_text()), schema)


def test_the_report_walks_back_to_the_recipe(finished: Path, report: Report) -> None:
    bundle = load(Bundle, finished / "run/bundle")
    checkpoint = load(Checkpoint, finished / "run/checkpoint")
    engine = load(Engine, finished / "run/engines/tensorrt-rtx-sm86")
    assert report.made_from == engine.made_from == bundle.digest
    assert bundle.made_from == checkpoint.digest
    assert checkpoint.recipe["steps"] == 8
    assert checkpoint.data_digest == open_dataset(finished / "data").digest()


def test_the_miou_is_that_of_the_masks_that_predict_writes(
    finished: Path, report: Report, hardedge: Program, tmp_path: Path
) -> None:
    data = open_dataset(finished / "data")
    images = [data.image_path(id) for id in data.splits["test"]]
    assert hardedge("predict", finished / "run/bundle", *images, "--out", tmp_path / "out").returncode == 0
    counts = np.zeros((3, 3), np.int64)
    for id in data.splits["test"]:
        predicted = np.asarray(Image.open(tmp_path / "out/masks" / f"{id}.png"))
        counts += confusion_counts(predicted, data.mask(id), 3)
    assert 100 * mean_iou(counts) == pytest.approx(report.metrics.miou)


def test_the_summary_ends_with_the_report(finished: Path) -> None:
    printed = (finished / "stdout").read_text()
    assert printed.lstrip().startswith("PASS")
    assert printed.rstrip().endswith(f"Report: {finished / 'run/report/report.html'}")


def test_nothing_half_written_is_left(finished: Path) -> None:
    assert sorted(path.name for path in (finished / "run").iterdir()) == [
        *(".hardedge.json", "bundle", "checkpoint", "engines", "report")
    ]
    assert [path for path in (finished / "run").rglob("*partial*")] == []


def test_a_finished_run_is_resumed_without_training_again(finished: Path, hardedge: Program, tmp_path: Path) -> None:
    own = shutil.copytree(finished / "run", tmp_path / "run")
    before = load(Checkpoint, own / "checkpoint").digest
    arguments = ["--target", "onnxruntime:cpu", "--latency", "0s"]
    done = hardedge("run", "--data", finished / "data", "--out", own, "--resume", *arguments)
    assert done.returncode == 0, done.stderr
    assert load(Checkpoint, own / "checkpoint").digest == before
    assert "2/5" not in done.stderr


def test_the_edge_side_verifies_and_predicts_without_torch(finished: Path, edge: Path, tmp_path: Path) -> None:
    bundle, engine = finished / "run/bundle", finished / "run/engines/onnxruntime-cpu"
    command = [edge / "hardedge", "verify", bundle, engine, "--data", finished / "data", "--out", tmp_path / "report"]
    done = subprocess.run(
        [*command, "--max-miou-drop", "0.1", "--latency", "0s"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    image = next((finished / "data/images").iterdir())
    command = [edge / "hardedge", "predict", bundle, image, "--out", tmp_path / "masks"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "masks/masks" / f"{image.stem}.png").is_file()


def test_one_changed_byte_anywhere_in_the_bundle_is_named(finished: Path, hardedge: Program, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(finished / "run/bundle", bundle)
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(BadInput, match=re.escape(path.name)):
            load(Bundle, bundle)
        path.write_bytes(content)
    (bundle / "model.onnx").write_bytes(b"")
    done = hardedge("predict", bundle, finished / "data/images", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "model.onnx: changed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_certify_issues_the_certificate_again(finished: Path, hardedge: Program) -> None:
    done = hardedge("certify", finished / "run/bundle", finished / "run/checkpoint")
    assert done.returncode == 0, done.stderr
    assert "level 0: identical" in done.stdout
    assert "engines: identical" in done.stdout


@pytest.mark.parametrize("part", ["level 0", "level 1", "engines"])
def test_certify_fails_where_any_part_differs(finished: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    found = read_json(Certificate, finished / "run/bundle/certificate.json")
    different = Check(status="different", detail="fake")
    fake = {
        "level 0": replace(found, level0=replace(found.level0, status="different", detail="fake")),
        "level 1": replace(found, level1=replace(found.level1, status="different", detail="fake")),
        "engines": replace(found, level0=replace(found.level0, rtx_engines=different)),
    }[part]
    monkeypatch.setattr("hardedge.export.identity.certificate.certify", lambda *_, **__: fake)
    done = CliRunner().invoke(cli, ["certify", str(finished / "run/bundle"), str(finished / "run/checkpoint")])
    assert isinstance(done.exception, GateFailed)
    assert f": {part} different. Export it again" in str(done.exception)
    assert f"{part}: different (fake)" in done.output


def test_a_gate_that_cannot_hold_exits_with_1(finished: Path, hardedge: Program, tmp_path: Path) -> None:
    engine = finished / "run/engines/tensorrt-rtx-sm86"
    command = ["verify", finished / "run/bundle", engine, "--data", finished / "data", "--out", tmp_path / "report"]
    done = hardedge(*command, "--max-miou-drop", "0.1", "--latency", "0s")
    assert done.returncode == 1, done.stdout  # an engine for another device says nothing about mIoU: no silent pass
    assert "--max-miou-drop" in done.stderr
    assert (tmp_path / "report/report.html").is_file()
