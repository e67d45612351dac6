"""Attacks on the verdict: files are changed and sealed anew, and no word may say more than what was checked."""

import dataclasses
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from hardedge.contracts import (
    Bundle,
    Certificate,
    Engine,
    Interval,
    LatencyComparison,
    load,
    read_json,
    seal,
    to_json,
)
from hardedge.contracts.certificate import EngineArms
from hardedge.contracts.sizes import Profile
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.engines.build import build
from hardedge.deploy.latency import overhead
from hardedge.deploy.latency.bench import miou_of
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.origin import origin_of
from hardedge.deploy.verification.recertify import recertify
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput

Resealed = Callable[..., Bundle]
Program = Callable[..., subprocess.CompletedProcess[str]]
IDENTITY = Gates(require="level0", max_overhead=0.0)


def changed(engine: Path, **fields: Any) -> Engine:
    """The engine's manifest with other fields, sealed anew as someone would who hides the change."""
    return seal(engine, dataclasses.replace(load(Engine, engine), **fields))


def nudged(path: Path) -> None:
    """Another weight by one step of float32: the masks stay as they are."""
    model = onnx.load(path)
    values = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
    values[0] = np.nextafter(values[0], np.inf)
    model.graph.initializer[0].raw_data = values.tobytes()
    onnx.save(model, path)


@pytest.mark.parametrize("builder", ["x", "onnxruntime", "tensorrt"])
def test_an_engine_with_another_network_is_refused_whatever_built_it(
    builder: str, own_bundle: Path, tmp_path: Path
) -> None:
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    nudged(tmp_path / "engine/model.onnx")
    (tmp_path / "engine/engine.json").write_text(
        (tmp_path / "engine/engine.json").read_text().replace('"builder": "onnxruntime"', f'"builder": "{builder}"')
    )
    from hardedge.contracts import parse_json

    manifest = parse_json(Engine, (tmp_path / "engine/engine.json").read_bytes(), "engine")
    seal(tmp_path / "engine", manifest)
    with pytest.raises(BadInput, match="is built by onnxruntime|is not the bundle's ONNX file"):
        verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=IDENTITY, latency_seconds=0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"onnx_digest": "0" * 64}, "onnx_digest: another ONNX file"),
        ({"profiles": (Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(64, 4096, 4096)),)}, "profiles: others"),
        ({"plan": "engine.json"}, "plan: engine.json is not among its files"),
    ],
)
def test_an_engine_that_contradicts_its_bundle_is_refused(
    fields: dict[str, Any], said: str, own_bundle: Path, tmp_path: Path
) -> None:
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    changed(tmp_path / "engine", **fields)
    with pytest.raises(BadInput, match=said):
        verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=Gates(), latency_seconds=0)


def planned(bundle: Path, engine: Path) -> Engine:
    """An engine directory for another GPU whose plan is any bytes."""
    build(bundle, "onnxruntime:cpu", engine)
    (engine / "model.onnx").rename(engine / "model.plan")
    (engine / "model.plan").write_bytes(b"a plan of some other network")
    from hardedge.contracts import parse_json

    manifest = parse_json(Engine, (engine / "engine.json").read_bytes(), "engine")
    return seal(
        engine,
        dataclasses.replace(manifest, target="tensorrt-rtx:sm86", builder="tensorrt_rtx", plan="model.plan"),
    )


def test_a_plan_of_unknown_origin_fails_the_gates_of_identity(
    own_bundle: Path, shared_data: Path, tmp_path: Path
) -> None:
    engine = planned(own_bundle, tmp_path / "engine")
    given = verify(
        own_bundle, [tmp_path / "engine"], shared_data, tmp_path / "given", gates=IDENTITY, latency_seconds=0
    )
    assert given.engines[0].origin == "unknown"
    failed = [(gate.name, gate.status) for gate in given.gates if "of unknown origin" in gate.found]
    assert failed == [("--max-overhead", "fail"), ("--require", "fail")]
    assert given.verdict == "fail"
    bundle = load_bundle(own_bundle)
    assert origin_of(bundle, tmp_path / "engine", engine, {engine.digest}) == "built here"


def test_a_limit_that_no_engine_was_measured_for_does_not_hold(
    own_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path
) -> None:
    planned(own_bundle, tmp_path / "sm86")
    build(own_bundle, "onnxruntime:cpu", tmp_path / "cpu")
    engines = [tmp_path / "cpu", tmp_path / "sm86"]
    limits = Gates(max_miou_drop=0.1, max_unseen=40.0)
    report = verify(own_bundle, engines, shared_data, tmp_path / "out", gates=limits, latency_seconds=0)
    statuses = [gate.status for gate in report.gates if gate.name == "--max-miou-drop"]
    assert (statuses, report.verdict) == (["pass", "inconclusive"], "inconclusive")
    assert report.engines[1].not_run
    assert "no NVIDIA GPU answers" in report.engines[1].not_run or "sm86" in report.engines[1].not_run
    left_out = dataclasses.replace(limits, built_only=True)
    second = verify(own_bundle, engines, shared_data, tmp_path / "second", gates=left_out, latency_seconds=0)
    assert [gate.status for gate in second.gates if gate.name == "--max-miou-drop"] == ["pass"]
    assert second.built_only is True


def test_counts_that_are_not_those_of_the_masks_are_seen(
    own_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path, resealed: Resealed
) -> None:
    with np.load(own_bundle / "reference/confusion.npz") as stored:
        counts_NCC = stored["counts"].copy()
    counts_NCC[0, 0, 0] += 1
    counts_NCC[0, 1, 1] -= 1
    np.savez(own_bundle / "reference/confusion.npz", counts=counts_NCC)
    resealed(own_bundle)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    with pytest.raises(BadInput, match="the stored counts of .* are not those of its reference mask"):
        verify(own_bundle, [tmp_path / "engine"], shared_data, tmp_path / "out", gates=Gates(), latency_seconds=0)


def test_the_reports_score_is_computed_from_the_counts(own_bundle: Path, tmp_path: Path, resealed: Resealed) -> None:
    bundle = load(Bundle, own_bundle)
    boasted = dataclasses.replace(bundle.reference, score=dataclasses.replace(bundle.reference.score, miou=99.9))
    resealed(own_bundle, reference=boasted)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    report = verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=Gates(), latency_seconds=0)
    assert report.metrics.miou == pytest.approx(bundle.reference.score.miou)


def test_a_test_split_without_a_labelled_pixel_judges_nothing(
    own_bundle: Path, shared_data: Path, tmp_path: Path, resealed: Resealed
) -> None:
    with np.load(own_bundle / "reference/confusion.npz") as stored:
        np.savez(own_bundle / "reference/confusion.npz", counts=np.zeros_like(stored["counts"]))
    resealed(own_bundle)
    with pytest.raises(BadInput, match="no labelled pixel in any test image"):
        verify(own_bundle, [], shared_data, tmp_path / "out", gates=Gates(), latency_seconds=0)


def test_a_stated_score_that_is_too_high_is_used_nowhere(
    own_bundle: Path, resealed: Resealed, hardedge: Program
) -> None:
    stated = load(Bundle, own_bundle).reference
    higher = dataclasses.replace(stated.score, miou=98.765)
    resealed(own_bundle, reference=dataclasses.replace(stated, score=higher))
    opened = load_bundle(own_bundle)
    assert miou_of(opened, "fp32") == pytest.approx(stated.score.miou)
    for command in (("verify", own_bundle, "--latency", "0s"), ("triton", own_bundle)):
        done = hardedge(*command, "--out", own_bundle.parent / command[0])
        assert done.returncode in (0, 1), done.stderr
        assert "98.7" not in done.stdout


@pytest.mark.parametrize("file", ["images", "masks"])
def test_golden_images_that_are_not_the_test_images_are_seen(
    file: str, own_bundle: Path, shared_data: Path, tmp_path: Path, resealed: Resealed
) -> None:
    for path in (own_bundle / "golden" / file).iterdir():
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    resealed(own_bundle)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    with pytest.raises(BadInput, match="golden .* is not the test image of that name"):
        verify(own_bundle, [tmp_path / "engine"], shared_data, tmp_path / "out", gates=Gates(), latency_seconds=0)


@pytest.mark.parametrize(
    ("engines", "status"),
    [
        ((), "not run here"),
        ((EngineArms(target="sm86", shipped="a", plain="b"),), "different"),
        ((EngineArms(target="sm86", shipped="a", plain="a"),), "identical"),
    ],
)
def test_what_the_certificate_says_of_engines_follows_from_its_list(
    engines: tuple[EngineArms, ...], status: str, own_bundle: Path, resealed: Resealed
) -> None:
    path = own_bundle / Certificate.FILE
    issued = read_json(Certificate, path)
    claimed = dataclasses.replace(issued.level0.rtx_engines, status="identical", detail="equal, believe me")
    level0 = dataclasses.replace(issued.level0, rtx_engines=claimed, engines=engines)
    path.write_text(to_json(dataclasses.replace(issued, level0=level0)))
    resealed(own_bundle)
    found = recertify(load_bundle(own_bundle)).level0
    assert found.status == "identical"
    assert "this bundle states for the plain network" in found.detail
    assert found.rtx_engines.status == status
    assert "believe me" not in found.rtx_engines.detail


def comparison(low: float, high: float, status: Any) -> LatencyComparison:
    return LatencyComparison(
        arm="",
        ratio=(low + high) / 2,
        interval=Interval(low=low, high=high, confidence=90),
        status=status,
        detail="",
        sessions=10,
        blocks=10,
        blocks_to_decide=None,
    )


@pytest.mark.parametrize(
    ("floor", "control", "said"),
    [
        ((0.99, 1.01, "equivalent"), (1.1, 1.3, "different"), "is seen: a branch that stays in costs"),
        ((0.99, 1.01, "equivalent"), (0.8, 0.9, "different"), "came out faster"),
        ((1.05, 1.10, "different"), (1.1, 1.3, "different"), "the file against itself came out different"),
    ],
)
def test_a_control_is_seen_only_where_it_is_slower_and_equal_files_are_not(
    floor: tuple[float, float, Any], control: tuple[float, float, Any], said: str
) -> None:
    assert said in overhead._control_detail(None, comparison(*floor), comparison(*control))


def test_the_shipped_file_is_no_control(own_bundle: Path, resealed: Resealed) -> None:
    (own_bundle / "control.onnx").write_bytes((own_bundle / "model.onnx").read_bytes())
    assert overhead._no_control(resealed(own_bundle)) == "no positive control: the bundle's is the file that ships"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"logit_difference": math.nan}, "logit_difference"),
        ({"logit_difference": -1.0}, "logit_difference"),
    ],
)
def test_numbers_that_measure_nothing_are_refused(
    fields: dict[str, float], said: str, own_bundle: Path, resealed: Resealed
) -> None:
    def sealed_and_checked() -> None:
        resealed(own_bundle, **fields)
        load_bundle(own_bundle).check()

    with pytest.raises(BadInput, match=said):
        sealed_and_checked()


@pytest.mark.parametrize("limit", [math.nan, math.inf, -1.0])
def test_a_limit_that_is_no_number_is_refused(limit: float) -> None:
    for name in ("max_overhead", "max_miou_drop"):
        with pytest.raises(BadInput, match=name.replace("_", "-")):
            Gates(**{name: limit})


def test_hardness_that_no_manifest_lists_is_not_read(own_bundle: Path, resealed: Resealed) -> None:
    id = load(Bundle, own_bundle).reference.images[0].id
    label_HW = np.zeros((64, 96), np.uint8)
    assert load_bundle(own_bundle).hardness(id, label_HW) is not None
    path = own_bundle / f"reference/hardness/{id}.png"
    content = path.read_bytes()
    path.unlink()
    resealed(own_bundle)
    path.write_bytes(content)
    assert load_bundle(own_bundle).hardness(id, label_HW) is None


def test_one_image_many_times_is_refused(own_bundle: Path, resealed: Resealed) -> None:
    bundle = load(Bundle, own_bundle)
    again = dataclasses.replace(bundle.reference, images=(bundle.reference.images[0], *bundle.reference.images[:-1]))
    resealed(own_bundle, reference=again)
    with pytest.raises(BadInput, match="is there more than once"):
        load_bundle(own_bundle).check()


def test_the_report_keeps_where_each_engine_comes_from(own_bundle: Path, tmp_path: Path) -> None:
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=Gates(), latency_seconds=0)
    (engine,) = json.loads((tmp_path / "out/report.json").read_text())["engines"]
    assert (engine["origin"], engine["not_run"]) == ("bundle file", None)
