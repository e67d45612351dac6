"""A device that is lost in mid-verification, or memory that runs out: what was measured is in the report, marked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from hardedge.cli import cli
from hardedge.cli.parts import exit_with_verdict
from hardedge.contracts import Report, load
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.onnxruntime import runner as onnxruntime_runner
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.deploy.verification import runs as verify_runs
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput, Unavailable

LOST = "images of 1x64x96x3 do not run (CUDA error 719: unspecified launch failure)"


class Failing:
    """A runner that works for some images, and then never again."""

    def __init__(self, runner: Any, works: int, error: Exception) -> None:
        self.runner, self.left, self.error = runner, works, error

    def masks(self, images_BHWC: np.ndarray) -> np.ndarray:
        if self.left == 0:
            raise self.error
        self.left -= 1
        return np.asarray(self.runner.masks(images_BHWC))

    def layers(self) -> list[Any]:
        return []

    def close(self) -> None:
        self.runner.close()


@pytest.fixture
def verified(
    shared_bundle: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Report]:
    """Verifies two engines, of which the first fails after some images."""

    def job(works: int, error: Exception | None = None, data: bool = True, gates: Gates | None = None) -> Report:
        paths = [tmp_path / "first", tmp_path / "second"]
        for path in paths:
            build(shared_bundle, "onnxruntime:cpu", path)
        opened = iter([Failing(open_runner(paths[0]), works, error or Unavailable(LOST)), open_runner(paths[1])])
        monkeypatch.setattr(verify_runs, "open_runner", lambda path, trust=None: next(opened))
        given = shared_data if data else None
        return verify(
            shared_bundle, paths, given, tmp_path / "out", gates=gates or Gates(max_unseen=40), latency_seconds=0
        )

    return job


RUNS = 2 + 5  # warm-up and runs of the latency


def test_a_device_lost_in_the_middle_keeps_the_images_before(verified: Callable[..., Report], tmp_path: Path) -> None:
    report = verified(RUNS + 3)
    cut, whole = report.parity
    assert (cut.images, cut.status, cut.golden_agreement) == (3, "inconclusive", None)
    assert cut.detail == f"broken off after 3 of 6 images: {LOST}"
    assert cut.miou == pytest.approx(cut.miou_reference)
    assert (whole.images, whole.status, whole.golden_agreement) == (6, "pass", 1.0)
    assert len(report.latency) == 2
    assert report.broken_off == (f"onnxruntime:cpu fp32: {cut.detail}",)
    assert report.verdict == "inconclusive"
    stored = load(Report, tmp_path / "out")
    assert stored.broken_off == report.broken_off
    page = (tmp_path / "out/report.html").read_text()
    assert "broken off after 3 of 6 images" in page
    assert "broken off" in (tmp_path / "out/summary.md").read_text()
    assert "broken off" in (tmp_path / "out/junit.xml").read_text()


def test_the_program_says_so_and_exits_3(verified: Callable[..., Report], tmp_path: Path) -> None:
    report = verified(RUNS + 3)
    message = "broken off while it ran: onnxruntime:cpu fp32: broken off after 3 of 6"
    with click.Context(cli), pytest.raises(Unavailable, match=message):
        exit_with_verdict(report, tmp_path / "out", as_json=False)


@pytest.mark.parametrize("error", [Unavailable(LOST), MemoryError()])
@pytest.mark.parametrize("works", [0, RUNS, RUNS + 6])
def test_wherever_it_is_lost_the_other_engine_is_measured(
    verified: Callable[..., Report], works: int, error: Exception
) -> None:
    report = verified(works, error)
    assert [run.images for run in report.parity if run.status == "pass"] == [6]
    assert len(report.latency) == (1 if works == 0 else 2)
    assert len(report.broken_off) == 1
    assert report.verdict == "inconclusive"


def test_without_data_the_golden_images_end_too(verified: Callable[..., Report]) -> None:
    report = verified(RUNS + 2, data=False)
    statuses = {gate.name: gate.status for gate in report.gates}
    assert statuses == {"golden images": "pass", "batches": "pass", "image sizes": "pass"}
    assert report.broken_off == (f"onnxruntime:cpu fp32: {LOST}",)


def test_a_gate_over_what_was_cut_short_does_not_pass(verified: Callable[..., Report], tmp_path: Path) -> None:
    report = verified(RUNS + 3, gates=Gates(max_miou_drop=0.1, max_unseen=40))
    assert report.verdict == "inconclusive"
    assert json.loads((tmp_path / "out/report.json").read_text())["broken_off"]
    assert [gate.status for gate in report.gates] == ["inconclusive", "pass", "pass", "pass"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("CUDA failure 719: unspecified launch failure ; GPU=0", Unavailable),
        ("Non-zero status code: Failed to allocate memory for requested buffer of size 123", Unavailable),
        ("Got invalid dimensions for input: image", BadInput),
    ],
)
def test_onnxruntimes_words_for_a_lost_device_are_known(
    shared_engine: Path, said: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = OnnxRuntimeRunner(shared_engine / "model.onnx")

    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError(said)

    monkeypatch.setattr(runner, "_session", Session())
    with pytest.raises(kind, match="CUDA|allocate|invalid"):
        runner.masks(np.zeros((1, 64, 96, 3), np.uint8))
    assert onnxruntime_runner._DEVICE
