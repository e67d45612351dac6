"""The bench on a real session, its arithmetic on runners with a clock of their own, and what cannot run here."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hardedge.deploy.latency import bench as benches
from hardedge.deploy.latency.bench import BenchArm, bench, bench_text
from hardedge.deploy.latency.memory_process import memory_of
from hardedge.deploy.machine import compute_capability, resident_memory
from hardedge.errors import BadInput, Unavailable

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)
needs_no_gpu = pytest.mark.skipif(compute_capability() is not None, reason="tests a machine without a GPU")


def test_a_session_is_timed(shared_bundle: Path) -> None:
    found = bench(shared_bundle, [("onnxruntime:cpu", "fp32")], seconds=0.4, batch=2)
    (run,) = found.runs
    assert (run.target, run.precision, run.batch, run.size) == ("onnxruntime:cpu", "fp32", 2, (64, 96))
    assert run.runs >= 10
    assert 0 < run.p50 <= run.p90 <= run.p99
    assert (run.copy_in, run.copy_out) == (0, 0)
    assert run.compute == pytest.approx(run.p50)
    assert run.images_per_second > 0
    assert run.engine_bytes == (shared_bundle / "model.onnx").stat().st_size
    assert (run.gpu_memory is None) == (found.machine["gpu"] == "none answers")
    assert run.memory is None or run.memory < 2**30
    assert found.comparisons == ()


class Paced:
    """A runner whose parts take given seconds, on a clock that it moves."""

    def __init__(self, clock: "Clock", parts: tuple[float, float, float], log: list[str], name: str) -> None:
        self.clock, self.seconds, self.log, self.name = clock, parts, log, name
        log.append(f"open {name}")

    def parts(self, images_BHWC: np.ndarray) -> tuple[float, float, float]:
        self.clock.now += sum(self.seconds)
        return self.seconds

    def masks(self, images_BHWC: np.ndarray) -> np.ndarray:
        self.clock.now += sum(self.seconds)
        return images_BHWC[..., 0]

    def close(self) -> None:
        self.log.append(f"close {self.name}")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Builds are marks, and a session's speed follows from its folder's name: fast 10 ms, slow 20 ms."""
    from hardedge.deploy.latency import paired_runs

    clock, log = Clock(), list[str]()

    def open_paced(path: Path) -> Paced:
        parts = (0.001, 0.008, 0.001) if "fp16" in path.name else (0.002, 0.016, 0.002)
        return Paced(clock, parts, log, path.name)

    def built(bundle: Path, target: str, outs: list[Path], **options: object) -> Iterator[None]:
        for out in outs:
            out.mkdir()
            (out / "model.plan").write_bytes(b"1234")
            yield

    monkeypatch.setattr(benches, "time", clock)
    monkeypatch.setattr(paired_runs, "time", clock)
    monkeypatch.setattr(benches, "open_runner", open_paced)
    monkeypatch.setattr(benches, "repeat_build", built)
    return log


def test_arms_are_compared_with_the_first(shared_bundle: Path, paced: list[str]) -> None:
    pairs = [("tensorrt-rtx:sm86", "fp32"), ("tensorrt-rtx:sm86", "fp16")]
    found = bench(shared_bundle, pairs, seconds=40, batch=2)
    slow, fast = found.runs
    assert (slow.p50, slow.copy_in, slow.compute, slow.copy_out) == pytest.approx((20, 2, 16, 2))
    assert fast.images_per_second == pytest.approx(200)
    assert slow.engine_bytes == 4
    (ratio,) = found.comparisons
    assert ratio.arm == "tensorrt-rtx:sm86 fp16 over tensorrt-rtx:sm86 fp32"
    assert ratio.ratio == pytest.approx(0.5)
    assert (ratio.interval.low, ratio.interval.high) == pytest.approx((0.5, 0.5))
    assert (ratio.status, ratio.sessions) == ("different", 10)  # one build an arm: ten sessions of it
    assert sum(entry.startswith("open") for entry in paced) == sum(entry.startswith("close") for entry in paced)


def test_tensorrts_builds_take_turns(shared_bundle: Path, paced: list[str]) -> None:
    bench(shared_bundle, [("tensorrt", "fp32"), ("tensorrt", "fp16")], seconds=40)
    opened = [entry for entry in paced if entry.startswith("open 1-tensorrt-fp16")]
    # one to see that it opens, one alone, then five pairs, each of builds of its own
    assert opened[0][-1] == opened[1][-1] == "0"
    assert [entry[-1] for entry in opened[2:]] == list("01234")


def test_what_is_printed_has_every_figure(shared_bundle: Path, paced: list[str]) -> None:
    found = bench(shared_bundle, [("tensorrt", "fp32"), ("tensorrt", "fp16")], seconds=40)
    lines = bench_text(found).splitlines()
    assert lines[0].split()[:5] == ["target", "image", "p50", "p90", "p99"]
    assert lines[1].startswith("tensorrt fp32  1x64x96  20.00  20.00  20.00  50.0")
    assert lines[3].startswith(
        "tensorrt fp16 over tensorrt fp32: 0.500 [0.500, 0.500], different (64x96, 5 session pairs"
    )


def test_too_little_time_for_a_comparison_is_said(
    shared_bundle: Path, paced: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    found = bench(shared_bundle, [("tensorrt", "fp32"), ("tensorrt", "fp16")], seconds=0.1)
    assert found.comparisons == ()
    assert "latency not measured" in capfd.readouterr().err


def test_a_batch_outside_the_profile_is_refused(shared_bundle: Path) -> None:
    with pytest.raises(BadInput, match=r"--batch 3: no profile holds 3x64x96\. The .* has: default 1x32x32 to 2x128"):
        bench(shared_bundle, [("onnxruntime:cpu", "fp32")], seconds=1, batch=3)


@needs_no_gpu
@needs_rtx
def test_what_does_not_run_here_is_left_out_with_its_reason(
    shared_bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [("tensorrt-rtx:sm86", "fp32"), ("onnxruntime:cpu", "fp32")]
    found = bench(shared_bundle, pairs, seconds=0.1)
    assert [run.target for run in found.runs] == ["onnxruntime:cpu"]
    assert "Not run on this machine: tensorrt-rtx:sm86 fp32: " in capfd.readouterr().err
    with pytest.raises(Unavailable, match=r"(?s)nothing to time on this machine:.*sm86 fp32: "):
        bench(shared_bundle, pairs[:1], seconds=0.1)


def test_the_program_prints_json(shared_bundle: Path, hardedge: Callable[..., object]) -> None:
    done = hardedge("bench", shared_bundle, "--time", "0.1s", "--json")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    found = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert found["runs"][0]["target"] == "onnxruntime:cpu"
    assert "cpu" in found["machine"]


def test_an_arm_opens_its_builds_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "open_runner", lambda path: path.name)
    opener = BenchArm("tensorrt", "fp32", (Path("a"), Path("b"))).opener()
    assert [opener() for _ in range(3)] == ["a", "b", "a"]


def test_the_memory_of_an_engine_does_not_depend_on_what_ran_before(shared_engine: Path) -> None:
    """The same bytes give about the same number twice, and the runtime's libraries are in it."""
    (first, _), (again, _) = (memory_of(shared_engine, (1, 64, 96, 3)) for _ in range(2))
    if first is None or again is None:
        pytest.skip("/proc does not tell")
    assert 5_000_000 < first < 2**30
    assert abs(first - again) < 0.2 * first


def test_an_engine_that_ends_its_process_has_no_memory_to_tell(tmp_path: Path) -> None:
    assert memory_of(tmp_path, (1, 64, 96, 3)) == (None, None)


def test_memory_is_measured_where_proc_tells() -> None:
    before = resident_memory()
    held = np.ones(64 << 20, np.uint8)
    after = resident_memory()
    assert before is None or (after is not None and after - before > 32 << 20)
    assert held[0] == 1


@pytest.mark.gpu
def test_copies_and_computing_are_told_apart_on_a_gpu(shared_bundle: Path) -> None:
    if compute_capability() is None:
        pytest.skip("no NVIDIA GPU answers here: nothing is copied to a device")
    (run,) = bench(shared_bundle, [("onnxruntime:cuda", "fp32")], seconds=1).runs
    assert min(run.copy_in, run.compute, run.copy_out) > 0
