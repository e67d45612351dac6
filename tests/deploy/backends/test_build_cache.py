"""Builds with options, kept and found again, with the real TensorRT-RTX; what TensorRT's builder would be told."""

import dataclasses
import importlib.util
import json
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hardedge.contracts import BuildOptions, Bundle, Engine, Profile, load, seal
from hardedge.deploy.backends.build_cache import BuildCache, BuildKey
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.engines.build import build, build_all
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.tensorrt import api as tensorrt_api
from hardedge.deploy.tensorrt import plans as plans_module
from hardedge.errors import BadInput, Unavailable

PROFILE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 128, 192))
RECIPE = BuildKey(
    onnx_sha256="1" * 64,
    builder="tensorrt",
    builder_version="10.3.0",
    device="Orin, 8.7",
    profiles=(PROFILE,),
    options=BuildOptions(),
    build=0,
)
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)


@pytest.mark.parametrize(
    ("change", "timings"),
    [
        ({"onnx_sha256": "2" * 64}, True),
        ({"profiles": (Profile(min=(1, 32, 32), opt=(1, 64, 64), max=(2, 128, 192)),)}, True),
        ({"build": 1}, True),
        ({"builder_version": "10.3.1"}, False),
        ({"builder": "tensorrt_rtx"}, False),
        ({"device": "Orin, 8.6"}, False),
        ({"options": BuildOptions(optimization_level=5)}, False),
        ({"options": BuildOptions(workspace=64)}, False),
        ({"options": BuildOptions(version_compatible=True)}, False),
        ({"options": BuildOptions(hardware_compatible=True)}, False),
        ({"options": BuildOptions(strip_weights=True)}, False),
        ({"options": BuildOptions(dla=0)}, False),
    ],
)
def test_another_recipe_is_another_plan_and_timings_follow_the_device(change: dict[str, Any], timings: bool) -> None:
    other = dataclasses.replace(RECIPE, **change)
    assert other.key() != RECIPE.key()
    assert (other.timing_key() == RECIPE.timing_key()) == timings


def test_what_was_kept_is_found_and_what_was_damaged_is_not(tmp_path: Path) -> None:
    cache, plan = BuildCache(tmp_path / "cache"), tmp_path / "made.plan"
    assert cache.find(RECIPE) is None
    plan.write_bytes(b"a plan")
    cache.keep(RECIPE, plan, 12.5)
    found = cache.find(RECIPE)
    assert found is not None
    assert (found.path.read_bytes(), found.seconds) == (b"a plan", 12.5)
    found.path.write_bytes(b"A plan")
    assert cache.find(RECIPE) is None
    cache.keep(RECIPE, plan, 1.0)
    told = found.path.with_suffix(".json")
    for damage in ("", "{}", "[]", '{"sha256": 3, "seconds": "x"}', json.dumps({"sha256": "0" * 64, "seconds": 1})):
        told.write_text(damage)
        assert cache.find(RECIPE) is None, damage


def test_an_interrupted_build_leaves_nothing_that_is_reused(tmp_path: Path) -> None:
    """A plan is written before its digest: without the digest it is no plan."""
    cache, plan = BuildCache(tmp_path / "cache"), tmp_path / "made.plan"
    plan.write_bytes(b"a plan")
    cache.keep(RECIPE, plan, 1.0)
    (tmp_path / "cache/plans" / f"{RECIPE.key()}.json").unlink()
    assert cache.find(RECIPE) is None


def test_builds_of_one_recipe_at_the_same_moment_leave_one_of_them_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorRT's builds differ: a file with parts of two would be loaded as a plan."""
    cache, plans = BuildCache(tmp_path / "cache"), [bytes([number]) * (number << 20) for number in (1, 2, 3)]
    for number, plan in enumerate(plans):
        (tmp_path / f"{number}.plan").write_bytes(plan)

    def keep(number: int) -> list[bytes]:
        found = []
        for _ in range(10):
            cache.keep(RECIPE, tmp_path / f"{number}.plan", 1.0)
            kept = cache.find(RECIPE)
            found += [kept.path.read_bytes()] if kept else []
        return found

    with ThreadPoolExecutor(3) as pool:
        assert all(plan in plans for found in pool.map(keep, range(3)) for plan in found)
    assert capsys.readouterr().err == ""
    assert len(list((tmp_path / "cache/plans").iterdir())) == 2
    cache.keep(RECIPE, tmp_path / "0.plan", 1.0)
    assert cache.find(RECIPE) is not None


def test_timings_are_lent_and_kept(tmp_path: Path) -> None:
    cache, lent = BuildCache(tmp_path / "cache"), tmp_path / "timings"
    cache.lend_timings(RECIPE, lent)
    assert not lent.exists()
    cache.keep_timings(RECIPE, lent)
    lent.write_bytes(b"timings")
    cache.keep_timings(RECIPE, lent)
    lent.unlink()
    cache.lend_timings(dataclasses.replace(RECIPE, onnx_sha256="3" * 64), lent)
    assert lent.read_bytes() == b"timings"
    lent.unlink()
    cache.lend_timings(dataclasses.replace(RECIPE, device="another"), lent)
    assert not lent.exists()


@needs_rtx
def test_a_build_is_reused_byte_for_byte(shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, request = "tensorrt-rtx:sm86", BuildRequest(cache=BuildCache(tmp_path / "cache"))
    first = build(shared_bundle, target, tmp_path / "first", request=request)
    monkeypatch.setattr(plans_module, "_build_in_process", lambda *_: pytest.fail("built again"))
    second = build(shared_bundle, target, tmp_path / "second", request=request)
    assert (first.files, first.seconds) == (second.files, second.seconds)
    assert (first.builder_version, first.target) == (second.builder_version, target)


@needs_rtx
def test_only_what_is_missing_is_built(shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = BuildRequest(cache=BuildCache(tmp_path / "cache"))
    build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "first", request=request)
    asked, really = [], plans_module._build_in_process
    monkeypatch.setattr(
        plans_module, "_build_in_process", lambda *job: (asked.extend(map(str, job[2])), really(*job))[1]
    )
    both = {name: tmp_path / name.replace(":", "-") for name in ("tensorrt-rtx:sm86", "tensorrt-rtx:sm89")}
    engines = build_all(shared_bundle, both, request=request)
    assert asked == ["tensorrt-rtx:sm89"]
    assert engines[0].files == load(Engine, tmp_path / "first").files
    assert engines[0].files != engines[1].files
    build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "again", request=dataclasses.replace(request, build=1))
    assert asked == ["tensorrt-rtx:sm89", "tensorrt-rtx:sm86"]


@needs_rtx
def test_options_reach_the_manifest_and_the_builder(shared_bundle: Path, tmp_path: Path) -> None:
    options = BuildOptions(optimization_level=0, workspace=64)
    engine = build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine", request=BuildRequest(options))
    assert load(Engine, tmp_path / "engine").options == options
    assert engine.files["model.plan"]


@needs_rtx
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (BuildOptions(version_compatible=True), "version compatibility: TensorRT-RTX has none"),
        (BuildOptions(hardware_compatible=True), "hardware compatibility: TensorRT-RTX has none"),
        (BuildOptions(dla=0), "DLA: TensorRT-RTX has none"),
        (BuildOptions(strip_weights=True), "plans without weights: TensorRT-RTX makes none without a CUDA driver"),
    ],
)
def test_what_tensorrt_rtx_does_not_have_is_refused(
    shared_bundle: Path, tmp_path: Path, options: BuildOptions, said: str
) -> None:
    request = BuildRequest(options)
    with pytest.raises(BadInput, match=said):
        build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine", request=request)
    assert not (tmp_path / "engine").exists()


def test_a_session_has_no_options(shared_bundle: Path, tmp_path: Path) -> None:
    request = BuildRequest(BuildOptions(workspace=64), BuildCache(tmp_path / "cache"))
    engine = build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine", request=request)
    assert engine.options == BuildOptions()
    assert not (tmp_path / "cache").exists()


class Config:
    """What a builder's configuration is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def set_flag(self, flag: str) -> None:
        self.told.append(("flag", flag))

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.told.append((pool, size))


def test_every_option_reaches_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = SimpleNamespace(
        MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
        BuilderFlag=SimpleNamespace(
            VERSION_COMPATIBLE="version", STRIP_PLAN="strip", REFIT_IDENTICAL="refit", GPU_FALLBACK="fallback"
        ),
        HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="ampere"),
        DeviceType=SimpleNamespace(DLA="dla"),
    )
    monkeypatch.setattr(tensorrt_api, "tensorrt_module", lambda builder: trt)
    config: Any = Config()
    tensorrt_api.configure_builder(config, "tensorrt", BuildOptions())
    assert vars(config) == {"told": []}
    every = BuildOptions(
        optimization_level=4,
        workspace=2,
        version_compatible=True,
        hardware_compatible=True,
        strip_weights=True,
        dla=1,
    )
    tensorrt_api.configure_builder(config, "tensorrt", every)
    flags = [("flag", flag) for flag in ("version", "strip", "refit", "fallback")]
    assert config.told == [("workspace", 2 << 20), *flags]
    assert (config.default_device_type, config.DLA_core) == ("dla", 1)
    assert (config.builder_optimization_level, config.hardware_compatibility_level) == (4, "ampere")
    assert tensorrt_api.unsupported_options("tensorrt", every) == []


@needs_rtx
@pytest.mark.parametrize(
    ("built", "here", "compatible", "loads"),
    [
        ("10.3.0", "10.3.0", False, True),
        ("10.3.0", "10.16.1", False, False),
        ("10.3.0", "10.16.1", True, True),
        ("10.16.1", "10.3.0", True, False),
        ("10.3.0", "11.4.0", True, True),
        ("10.3.0", "12.0.0", True, False),
    ],
)
def test_a_version_compatible_engine_loads_on_later_versions_of_its_major(
    shared_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resealed: Callable[..., Bundle],
    built: str,
    here: str,
    compatible: bool,
    loads: bool,
) -> None:
    from hardedge.deploy.tensorrt import runner as tensorrt_runner

    engine = build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    options = BuildOptions(version_compatible=compatible)
    seal(tmp_path / "engine", dataclasses.replace(engine, builder_version=built, options=options))
    opened: list[bool] = []
    monkeypatch.setattr(tensorrt_runner, "compute_capability", lambda: "sm86")
    monkeypatch.setattr(tensorrt_runner, "installed_version", lambda builder: here)
    monkeypatch.setattr(
        tensorrt_runner,
        "TensorRTRunner",
        lambda name, plan, rtx, options, *rest: opened.append(options.version_compatible),
    )
    if loads:
        open_runner(tmp_path / "engine")
        assert opened == [compatible]
    else:
        with pytest.raises(Unavailable, match=f"built by tensorrt_rtx {built}, here is {here}"):
            open_runner(tmp_path / "engine")
        assert opened == []


@needs_rtx
@needs_proc
def test_ctrl_c_during_a_build_leaves_a_cache_that_is_valid(
    shared_bundle: Path,
    shared_data: Path,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    hardedge: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    job = ["deploy", shared_bundle, "--data", shared_data, "--out", tmp_path / "out", "--cache", tmp_path / "cache"]
    job += ["--target", "tensorrt-rtx:sm86,sm89,sm120", "--latency", "0s"]
    started = start(*job)
    try:
        deadline = time.monotonic() + 600
        while not builders_of(started.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        builder = builders_of(started.pid)
        assert builder
        started.send_signal(signal.SIGINT)
        _, stderr = started.communicate(timeout=600)
    finally:
        started.kill()
    assert started.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert not any(computing(pid) for pid in builder)
    assert not list(tmp_path.rglob("engine.json"))
    assert not list(tmp_path.rglob("*.plan"))
    done = hardedge(*job)
    assert "built ahead of time for sm86" in done.stderr
    assert len(list((tmp_path / "cache/plans").glob("*.plan"))) == 3
    assert len(list(tmp_path.glob("out/engines/*/engine.json"))) == 3


def builders_of(parent: int) -> list[int]:
    """The builder processes that this process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"build_process" in command:
            found.append(int(path.parent.name))
    return found


def computing(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be counted as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
