"""benchmarks/gains.py: what its scores add to hardedge's, and a tiny experiment."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gains_scores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gains_scores

    return gains_scores


def test_the_rarest_third_is_of_the_classes_that_are_there(gains_scores: ModuleType) -> None:
    assert gains_scores.rarest_third(np.array([5, 0, 90, 7, 30])).tolist() == [0, 3]


def test_the_scores_of_parts_add_up(gains_scores: ModuleType) -> None:
    counts = gains_scores.Counts(
        pixels=((6, 2, 0), (1, 3, 0), (0, 0, 0)), borders=((4, 2, 4, 4), (4, 4, 4, 4), (0,) * 4)
    )
    found = gains_scores.scores_with_rare(counts, np.array([1]))
    assert found["rare IoU"] == pytest.approx(50.0)
    assert found["mIoU"] == pytest.approx(100 * (6 / 9 + 3 / 6) / 2)
    doubled = gains_scores.added(counts, counts)
    assert gains_scores.scores_with_rare(doubled, np.array([1])) == pytest.approx(found)
    assert doubled.pixels[0] == (12, 4, 0)


def test_an_experiment_goes_on_and_tells_what_it_has(tmp_path: Path, make_tiny_dataset: Callable[..., Path]) -> None:
    data = make_tiny_dataset(tmp_path / "data", train=4, val=2, test=3, size=(64, 96))
    command = [sys.executable, str(BENCHMARKS / "gains.py"), "train", str(data), "--out", str(tmp_path / "out")]
    command += ["--steps", "2", "--batch", "2", "--size", "48x64", "--seeds", "1", "--rows", "ce,ce-weighted"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=850)
    assert "| ce | `ce` | 1 |" in done.stdout
    assert "| ce-weighted |" in done.stdout
    assert "Not run yet: ohem (`ohem`), hardness-light" in done.stdout
    results = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/results").iterdir()}
    assert set(results) == {"ce-0.json", "ce-weighted-0.json"}
    assert json.loads((tmp_path / "out/results/ce-weighted-0.json").read_text())["loss"].startswith(
        "ce(class_weights=("
    )

    subprocess.run(command, capture_output=True, check=True, timeout=850)  # finished: nothing is done again
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/results").iterdir()} == results

    other = subprocess.run([*command, "--steps", "3"], capture_output=True, text=True, check=False, timeout=850)
    assert other.returncode != 0
    assert "is of another experiment than this one" in other.stderr
