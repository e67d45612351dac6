"""The builder process: its progress, its want of memory or of a DLA core, and plans that are refitted with weights."""

import importlib.util
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hardedge import child_process
from hardedge.child_process import ChildResult
from hardedge.contracts import BuildOptions, Engine, load, seal
from hardedge.deploy.backends.build_cache import BuildCache
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.engines.build import build, build_all
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.tensorrt import api as tensorrt_api
from hardedge.deploy.tensorrt import plans
from hardedge.deploy.tensorrt import runner as tensorrt_runner
from hardedge.deploy.tensorrt.builder import LACKING, PROGRESS, Shares, out_of_memory, run_builder
from hardedge.errors import BadInput, Unavailable

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)


def test_shares_of_phases_inside_phases_add_up() -> None:
    shares = Shares()
    shares.started("build", None, 4)
    assert shares.stepped("build", 0) == 0.25
    shares.started("optimise", "build", 10)
    assert shares.stepped("optimise", 4) == pytest.approx(0.25 + 0.25 * 0.5)
    shares.started("time", "optimise", 2)
    assert shares.stepped("time", 0) == pytest.approx(0.25 + 0.25 * 0.55)
    shares.finished("time")
    assert shares.stepped("optimise", 1) is None  # never backwards
    assert shares.stepped("unknown", 0) is None
    shares.started("stray", "gone", 1)
    assert shares.stepped("stray", 0) is None  # its parent has ended: nobody knows how much it is
    assert shares.stepped("build", 3) == 1.0


@needs_rtx
def test_a_real_build_tells_its_progress_up_to_its_end(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    really = run_builder
    monkeypatch.setattr(plans, "run_builder", lambda job, tell: really(job, told.append))
    build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    shares = [int(line.removeprefix("building for sm86: ").rstrip("%")) for line in told]
    assert shares == sorted(shares)
    assert len(shares) > 5
    assert 80 <= shares[-1] <= 100  # the last of six phases ends without a step


def test_progress_is_no_part_of_what_a_builder_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = f"print('first'); print({PROGRESS!r} + '[\"here\", 0.5]}}'); print('last')"
    real = subprocess.Popen
    monkeypatch.setattr(
        child_process.subprocess, "Popen", lambda command, **rest: real([sys.executable, "-c", program], **rest)
    )
    told: list[str] = []
    ended = run_builder({"builder": "tensorrt", "folder": str(tmp_path)}, told.append)
    assert (ended.status, ended.output, told) == (0, "first\nlast\n", ["building for here: 50%"])


def test_a_builder_ends_with_a_parent_that_is_interrupted_while_it_starts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There is nobody then who knows the process, to kill it."""
    pids: list[int] = []
    program = (
        "import os, stat; from hardedge.child_process import end_with_parent\n"
        "end_with_parent() if stat.S_ISFIFO(os.fstat(0).st_mode) else os._exit(9)"  # of the parent alone
    )

    class Interrupted(subprocess.Popen[str]):
        def _execute_child(self, *arguments: Any) -> None:
            super()._execute_child(*arguments)  # type: ignore[misc]  # typeshed leaves it out
            pids.append(self.pid)
            raise KeyboardInterrupt

        def __del__(self) -> None:
            """Without the warning that the process runs: it is waited for below."""

    def start(command: list[str], **rest: Any) -> Interrupted:
        return Interrupted([sys.executable, "-c", program], **rest)

    monkeypatch.setattr(child_process.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        run_builder({"builder": "tensorrt", "folder": str(tmp_path)}, None)
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 1


@pytest.mark.parametrize(
    ("ended", "missing"),
    [
        (ChildResult(1, "", "Traceback\nMemoryError\n"), True),
        (ChildResult(1, "[E] Error Code 2: OutOfMemory (Requested size was 123 bytes.)", ""), True),
        (ChildResult(-9, "", ""), True),
        (ChildResult(-11, "", ""), False),
        (ChildResult(1, "[E] could not find any implementation for node n5", ""), False),
    ],
)
def test_want_of_memory_is_told_apart_from_a_refusal(ended: ChildResult, missing: bool) -> None:
    """A refusal would be healed, by 40 builds that run out of memory as well."""
    assert out_of_memory(ended) == missing
    error = plans._refusal("tensorrt_rtx", Path("model.onnx"), ended)
    assert isinstance(error, Unavailable if missing else plans.BuildRefused)
    assert ("ran out of memory while it built model.onnx" in str(error)) == missing


@needs_rtx
def test_a_build_without_memory_is_one_message_and_the_cache_stays_valid(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = BuildRequest(cache=BuildCache(tmp_path / "cache"))
    first = build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "first", request=request)
    real = subprocess.Popen

    def starved(command: list[str], **rest: Any) -> subprocess.Popen[str]:
        return real([sys.executable, "-c", "raise MemoryError"], **rest)

    both = {name: tmp_path / name.replace(":", "-") for name in ("tensorrt-rtx:sm86", "tensorrt-rtx:sm89")}
    with monkeypatch.context() as patch:
        patch.setattr(child_process.subprocess, "Popen", starved)
        with pytest.raises(Unavailable, match="ran out of memory") as caught:
            build_all(shared_bundle, both, request=request)
    assert "Traceback" not in str(caught.value)
    assert not any(path.exists() for path in both.values())
    again = build_all(shared_bundle, both, request=request)
    assert again[0].files == first.files
    assert len(list((tmp_path / "cache/plans").glob("*.plan"))) == 2


def test_a_full_cache_keeps_nothing_and_costs_no_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shared_bundle: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    request = BuildRequest(cache=BuildCache(tmp_path / "cache"))

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    engine = build(shared_bundle, "tensorrt-rtx:sm86", tmp_path / "first", request=request)
    size = (tmp_path / "first/model.plan").stat().st_size
    limit, hard = size // 2, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    real = BuildCache.keep

    def keep(self: BuildCache, *job: Any) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        full()
        try:
            real(self, *job)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr(BuildCache, "keep", keep)
    try:
        other = build(shared_bundle, "tensorrt-rtx:sm89", tmp_path / "other", request=request)
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "other/model.plan").stat().st_size > limit
    assert "this build is not kept" in capfd.readouterr().err
    kept = sorted(path.name for path in (tmp_path / "cache/plans").iterdir())
    assert len(kept) == 2  # the first plan and its digest, and no half of the second
    assert not any(name.endswith(".partial") for name in kept)
    assert other.files != engine.files


class Builder:
    num_DLA_cores = 2


@pytest.mark.parametrize(("core", "said"), [(None, None), (1, None), (2, "DLA core 2: this device has 2 DLA cores")])
def test_a_dla_core_must_be_there(core: int | None, said: str | None) -> None:
    found = tensorrt_api.lacking_core(Builder(), BuildOptions(dla=core))  # type: ignore[arg-type]
    assert (found or "").startswith(said or "")
    assert (found is None) == (said is None)
    none = SimpleNamespace(num_DLA_cores=0)
    assert tensorrt_api.lacking_core(none, BuildOptions(dla=0)) == (  # type: ignore[arg-type]
        "DLA core 0: this device has no DLA cores, counted from 0"
    )


def test_a_device_without_the_core_is_no_refusal_of_the_network() -> None:
    words = "DLA core 0: this device has no DLA cores, counted from 0"
    error = plans._refusal("tensorrt", Path("model.onnx"), ChildResult(1, "", f"{LACKING}{words}\n"))
    assert isinstance(error, Unavailable)
    assert str(error) == f"{words}. Build without --dla, or on a device that has it."


class Refitter:
    """As TensorRT's: `weights` are what the plan lacks, and what the ONNX file brings."""

    def __init__(self, lacks: set[str], brings: set[str], parsed: bool = True) -> None:
        self.lacks, self.brings, self.parsed, self.done = lacks, brings, parsed, False

    def module(self) -> SimpleNamespace:
        return SimpleNamespace(
            Refitter=lambda engine, logger: self,
            OnnxParserRefitter=lambda refitter, logger: SimpleNamespace(refit_from_bytes=self.refit_from_bytes),
        )

    def refit_from_bytes(self, onnx: bytes) -> bool:
        self.lacks -= self.brings
        return self.parsed

    def get_missing_weights(self) -> list[str]:
        return sorted(self.lacks)

    def refit_cuda_engine(self) -> bool:
        self.done = not self.lacks
        return self.done


@pytest.mark.parametrize(
    ("refitter", "said"),
    [
        (Refitter({"w1", "w2"}, {"w1", "w2", "w3"}), None),
        (Refitter({"w1", "w2"}, {"w2"}), r"missing: w1"),
        (Refitter({"w1"}, {"w1"}, parsed=False), "are not those that the plan lacks"),
    ],
)
def test_a_plan_gets_all_its_weights_or_is_refused(
    refitter: Refitter, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_api, "tensorrt_module", lambda name: refitter.module())
    if said is None:
        engine: Any = object()
        assert tensorrt_api.refit_engine(engine, "tensorrt", None, b"onnx") is engine
        assert refitter.done
    else:
        with pytest.raises(ValueError, match=said):
            tensorrt_api.refit_engine(object(), "tensorrt", None, b"onnx")  # type: ignore[arg-type]


@pytest.fixture
def stripped(shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine directory as TensorRT's builder would leave it with --strip-weights."""

    def built(
        builder: str, onnx: Path, targets: Any, profiles: Any, folder: Path, request: BuildRequest, timings: Any
    ) -> Any:
        (folder / "here.plan").write_bytes(b"a plan without weights")
        return {target: plans.BuiltPlan(folder / "here.plan", "tensorrt", "10.3.0", 1.0) for target in targets}

    monkeypatch.setattr(plans, "_require_builder", lambda builder: None)
    monkeypatch.setattr(plans, "_build_in_process", built)
    build(shared_bundle, "tensorrt", tmp_path / "engine", request=BuildRequest(BuildOptions(strip_weights=True)))
    monkeypatch.setattr(tensorrt_runner, "installed_version", lambda builder: "10.3.0")
    return tmp_path / "engine"


def test_a_stripped_engine_is_opened_with_the_file_that_it_was_built_from(
    stripped: Path, shared_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load(Engine, stripped)
    assert (manifest.weights, sorted(manifest.files)) == ("model.onnx", ["model.onnx", "model.plan"])
    opened: list[Any] = []
    monkeypatch.setattr(tensorrt_runner, "TensorRTRunner", lambda *job: opened.extend(job))
    open_runner(stripped)
    assert opened[1] == b"a plan without weights"
    assert opened[4] == (shared_bundle / "model.onnx").read_bytes()


def test_weights_are_read_by_their_digest_alone(stripped: Path) -> None:
    (stripped / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(BadInput, match=r"model.onnx: changed"):
        open_runner(stripped)


@pytest.mark.parametrize(
    ("weights", "said"),
    [(None, "weights and options do not fit each other"), ("other.onnx", "is not among its files")],
)
def test_a_manifest_cannot_name_other_weights(stripped: Path, weights: str | None, said: str) -> None:
    manifest = load(Engine, stripped)
    seal(stripped, replace(manifest, weights=weights))
    with pytest.raises(BadInput, match=said):
        open_runner(stripped)


def test_a_job_is_json(tmp_path: Path) -> None:
    assert json.loads(f'{PROGRESS}["sm86", 0.5]}}') == {"progress": ["sm86", 0.5]}
