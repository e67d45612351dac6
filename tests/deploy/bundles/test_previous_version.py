"""A bundle and an engine directory as the version of 2026-11-29 wrote them (previous.tar.gz): later ones read them."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import Bundle, Engine, Report, load
from hardedge.data.decoding import read_mask
from hardedge.data.opening import open_dataset
from hardedge.deploy import stage
from hardedge.deploy.bundles.same_data import require_same_data
from hardedge.deploy.prediction.predict import predict
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify

LIMITS = Gates(max_miou_drop=0.1, max_unseen=40.0)


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).with_name("previous.tar.gz")) as archive:
        archive.extractall(tmp_path / "previous", filter="data")
    return tmp_path / "previous"


def require_equal_masks(report: Report) -> None:
    (run,) = report.parity
    assert (run.images, run.pixel_agreement, run.golden_agreement, run.difference) == (6, 1.0, 1.0, 0.0)
    assert report.verdict == "pass"
    assert {gate.name: gate.status for gate in report.gates}["--max-miou-drop"] == "pass"


def test_its_manifests_say_what_they_said(previous: Path) -> None:
    bundle = load(Bundle, previous / "bundle")
    engine = load(Engine, previous / "engines/onnxruntime-cpu")
    assert engine.made_from == bundle.digest
    assert (engine.target, engine.precision, engine.builder) == ("onnxruntime:cpu", "fp32", "onnxruntime")
    require_same_data(bundle, open_dataset(previous / "data"))


def test_verify_reads_its_bundle_and_its_engine(previous: Path, tmp_path: Path) -> None:
    engine = previous / "engines/onnxruntime-cpu"
    report = verify(previous / "bundle", [engine], previous / "data", tmp_path / "out", gates=LIMITS, latency_seconds=0)
    require_equal_masks(report)
    (summary,) = report.engines
    assert summary.origin == "bundle file"


def test_deploy_builds_from_its_bundle(previous: Path, tmp_path: Path) -> None:
    plan = stage.DeployPlan(engines=[("onnxruntime:cpu", "fp32")], gates=LIMITS, latency=0)
    require_equal_masks(stage.deploy(previous / "bundle", previous / "data", tmp_path / "out", plan))


def test_predict_gives_the_reference_masks_of_its_bundle(previous: Path, tmp_path: Path) -> None:
    images = sorted((previous / "data/images").glob("*.png"))
    bundle, engine = previous / "bundle", previous / "engines/onnxruntime-cpu"
    masks = {
        path.stem: path for path in predict(bundle, images, tmp_path / "out", engine=engine) if path.suffix == ".png"
    }
    ids = load(Bundle, bundle).golden
    assert len(ids) == 6
    for id in ids:
        assert np.array_equal(read_mask(masks[id]), read_mask(bundle / f"reference/masks/{id}.png")), id
