"""Runners on real engines; what cannot run here says so."""

import dataclasses
import importlib.util
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardedge.contracts import Engine, Profile, load, seal
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.machine import compute_capability
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.deploy.provenance import machine_facts
from hardedge.deploy.runner import Runner
from hardedge.deploy.targets import BACKENDS
from hardedge.errors import BadInput, Unavailable

COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)])
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)
needs_no_gpu = pytest.mark.skipif(compute_capability() is not None, reason="tests a machine without a GPU")


@pytest.fixture(scope="module")
def runner(shared_engine: Path) -> Runner:
    return open_runner(shared_engine)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.integers(32, 64), st.integers(32, 64))
def test_masks_of_any_size_and_batch_equal_numpys(
    runner: Runner, seed: int, batch: int, height: int, width: int
) -> None:
    images_BHWC = np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), np.uint8)
    masks_BHW = runner.masks(images_BHWC)
    distance = ((images_BHWC[..., None, :].astype(np.int64) - COLORS) ** 2).sum(-1)
    nearest = distance.min(-1)
    chosen = np.take_along_axis(distance, masks_BHW[..., None].astype(np.int64), -1)[..., 0]
    assert masks_BHW.dtype == np.uint8
    assert (chosen == nearest).all()


def test_an_extra_output_is_dropped(shared_bundle: Path) -> None:
    images_BHWC = np.random.default_rng(0).integers(0, 256, (1, 40, 50, 3), np.uint8)
    plain, control = (OnnxRuntimeRunner(shared_bundle / name) for name in ("model.onnx", "control.onnx"))
    assert np.array_equal(plain.masks(images_BHWC), control.masks(images_BHWC))


def test_a_changed_plan_is_not_loaded(shared_bundle: Path, tmp_path: Path) -> None:
    build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine")
    plan = tmp_path / "engine/model.onnx"
    plan.write_bytes(plan.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BadInput, match="model.onnx: changed"):
        open_runner(tmp_path / "engine")


def test_a_plan_outside_the_manifest_is_not_loaded(shared_bundle: Path, tmp_path: Path) -> None:
    engine = build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine")
    seal(tmp_path / "engine", dataclasses.replace(engine, plan="other.onnx"))
    with pytest.raises(BadInput, match="is not among its files"):
        open_runner(tmp_path / "engine")


@needs_no_gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_is_never_replaced_by_the_cpu_in_silence(
    device: str, shared_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build(shared_bundle, f"onnxruntime:{device}", tmp_path / "engine")
    with pytest.raises(Unavailable, match="onnxruntime:cpu"):
        open_runner(tmp_path / "engine")
    assert capfd.readouterr() == ("", "")


def test_tensorrt_in_onnxruntime_builds_for_the_range_of_all_profiles_and_keeps_no_engine(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    asked: list[Any] = []

    def session(*_: object, providers: Any, **__: object) -> None:
        asked.extend(providers)
        raise RuntimeError("fake")

    engine = build(shared_bundle, "onnxruntime:tensorrt", tmp_path / "engine")
    large = engine.profiles[0]
    small = Profile(min=(1, 32, 64), opt=(1, 64, 64), max=(2, 64, 64), name="small")
    seal(tmp_path / "engine", dataclasses.replace(engine, profiles=(small, large)))
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    with pytest.raises(Unavailable, match=r"cannot use TensorrtExecutionProvider here \(fake\)"):
        open_runner(tmp_path / "engine")
    assert large == Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 128, 192))
    shapes = {"min": "image:1x32x32x3", "opt": "image:1x64x64x3", "max": "image:2x128x192x3"}
    options = {f"trt_profile_{name}_shapes": shape for name, shape in shapes.items()}
    assert asked == [("TensorrtExecutionProvider", options), "CUDAExecutionProvider"]


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(BadInput, match=r"onnxruntime refused .*junk.onnx"):
        OnnxRuntimeRunner(tmp_path / "junk.onnx")


@needs_rtx
@needs_no_gpu
def test_an_engine_for_another_device_is_told_apart(shared_bundle: Path, tmp_path: Path) -> None:
    build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    with pytest.raises(Unavailable, match="was built ahead of time for sm86; no NVIDIA GPU answers here"):
        open_runner(tmp_path / "engine")


@needs_rtx
def test_an_engine_of_another_version_is_not_deserialised(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    seal(tmp_path / "engine", dataclasses.replace(engine, builder_version="0.0.1"))
    monkeypatch.setattr("hardedge.deploy.tensorrt.runner.compute_capability", lambda: "sm86")
    with pytest.raises(Unavailable, match=r"built by tensorrt_rtx 0.0.1, here is \d"):
        open_runner(tmp_path / "engine")


@needs_rtx
@needs_no_gpu
def test_a_plan_that_does_not_load_gives_the_reason_and_prints_nothing(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    monkeypatch.setattr("hardedge.deploy.tensorrt.runner.compute_capability", lambda: "sm86")
    with pytest.raises(Unavailable, match=r"(?s)model.plan does not load on this machine .*CUDA driver version"):
        open_runner(tmp_path / "engine")
    assert capfd.readouterr().out == ""


def test_the_machine_is_described() -> None:
    facts = machine_facts()
    assert {"cpu", "cores", "memory", "system", "python", "numpy", "onnx", "gpu"} <= facts.keys()
    assert facts.get("onnxruntime") or facts["onnxruntime-gpu"]
    installed = {module for backend in BACKENDS for module in backend.modules if find_spec(module)} - {"onnxruntime"}
    assert installed <= facts.keys()
    assert int(facts["cores"]) >= 1


def test_engines_are_loaded_by_manifest(shared_engine: Path, color_mask: Callable[..., np.ndarray]) -> None:
    assert load(Engine, shared_engine).plan == "model.onnx"
    image_HWC = np.tile(np.array([[70, 130, 180], [0, 0, 150]], np.uint8), (40, 20, 1))
    assert np.array_equal(open_runner(shared_engine).masks(image_HWC[None])[0], color_mask(image_HWC, COLORS))
