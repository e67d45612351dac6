"""Kernels that TensorRT-RTX compiles at run time: kept beside the plan, loaded only if this user kept them for it."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import Bundle, Engine, load, seal
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.tensorrt import runner as runners
from hardedge.deploy.tensorrt.runtime_cache import CACHE, keep, read_kept
from hardedge.ownership import foreign_files

_spec = importlib.util.spec_from_file_location("fake_gpu", Path(__file__).parent / "fake_gpu.py")
assert _spec is not None
assert _spec.loader is not None
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)


@pytest.fixture
def engine(tmp_path: Path, shared_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TensorRT-RTX engine on a machine of its device, with a key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.setattr(runners, "compute_capability", lambda: "sm86")
    source, directory = load(Bundle, shared_bundle), tmp_path / "engine"
    directory.mkdir()
    (directory / "model.plan").write_bytes(b"plan")
    manifest = Engine(
        schema_id=Engine.SCHEMA,
        hardedge="0",
        made_from=source.digest,
        files={},
        target="tensorrt-rtx:sm86",
        precision="fp32",
        plan="model.plan",
        onnx_digest=source.models[0].onnx_digest,
        builder="tensorrt_rtx",
        builder_version="10.16.1.11",
        profiles=source.profiles,
        seconds=1.0,
    )
    seal(directory, manifest)
    return directory


def test_kernels_are_compiled_once_and_loaded_by_the_next_process(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = ((1, 32, 32), (1, 64, 96), (2, 128, 192))
    image_BHWC = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    fake.install(monkeypatch, profile, builder="tensorrt_rtx")
    runner = open_runner(engine)
    assert np.array_equal(runner.masks(image_BHWC), image_BHWC.argmax(-1))
    assert not (engine / CACHE).exists()
    runner.close()
    manifest = load(Engine, engine)
    assert read_kept(engine, manifest) == b"kernels"
    assert foreign_files(engine) == [], "--force may remove what hardedge kept"
    written = (engine / CACHE).stat().st_mtime_ns
    gpu = fake.install(monkeypatch, profile, builder="tensorrt_rtx")
    again = open_runner(engine)
    again.masks(image_BHWC)
    (call,) = [call for call in gpu.calls if call[0] == "create_execution_context"]
    assert call[1].content == b"kernels"
    again.close()
    assert (engine / CACHE).stat().st_mtime_ns == written, "nothing new was compiled"


@pytest.mark.parametrize("change", ["altered", "another plan", "another user", "cut"])
def test_kernels_that_are_not_ours_are_not_loaded(
    change: str, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load(Engine, engine)
    keep(engine, manifest, b"kernels")
    assert read_kept(engine, manifest) == b"kernels"
    content = (engine / CACHE).read_bytes()
    if change == "altered":
        (engine / CACHE).write_bytes(content[:-1] + b"!")
    elif change == "cut":
        (engine / CACHE).write_bytes(content[:64])
    elif change == "another plan":
        manifest = dataclasses.replace(manifest, files={manifest.plan: "0" * 64})
    else:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    assert read_kept(engine, manifest) is None


def test_a_directory_that_cannot_be_written_costs_nothing(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = load(Engine, engine)
    (engine / CACHE).mkdir()
    keep(engine, manifest, b"kernels")
    assert "the compiled kernels are not kept" in capsys.readouterr().err
