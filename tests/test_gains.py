"""benchmarks/gains.py: scores against plain loops, statistics against scipy and chance, and a tiny experiment."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from hardedge.contracts import ClassInfo, Task

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TASK = Task(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in "abc"), ignore_index=255)


@pytest.fixture
def gains_scores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gains_scores

    return gains_scores


def halves(column: int) -> np.ndarray:
    """Class 0 to the left of the column, class 1 from there on, 12 x 20; its first row is not labelled."""
    mask_HW = np.zeros((12, 20), np.uint8)
    mask_HW[:, column:] = 1
    return mask_HW


def labelled(mask_HW: np.ndarray) -> np.ndarray:
    label_HW = mask_HW.copy()
    label_HW[0] = 255
    return label_HW


@pytest.mark.parametrize("shift", [0, 1, 3, 4, 7])
def test_borders_count_as_found_within_three_pixels(gains_scores: ModuleType, shift: int) -> None:
    counts = gains_scores.border_counts(halves(10 + shift), labelled(halves(10)), TASK)
    rows = 11  # the unlabelled one has no border
    assert counts[:2, 0].tolist() == counts[:2, 2].tolist() == [rows, rows]
    assert counts[2].tolist() == [0, 0, 0, 0]
    # a class's border is on its own side: both of them move by the shift
    assert counts[:2, 1].tolist() == counts[:2, 3].tolist() == [rows * (shift <= 3)] * 2
    assert gains_scores.boundary_f_score(counts) == pytest.approx(float(shift <= 3))


def test_a_class_that_is_predicted_nowhere_has_a_boundary_score_of_zero(gains_scores: ModuleType) -> None:
    counts = gains_scores.border_counts(np.zeros((12, 20), np.uint8), labelled(halves(10)), TASK)
    assert gains_scores.boundary_f_score(counts) == 0


def test_the_rarest_third_is_of_the_classes_that_are_there(gains_scores: ModuleType) -> None:
    assert gains_scores.rarest_third(np.array([5, 0, 90, 7, 30])).tolist() == [0, 3]


def test_the_scores_are_those_of_the_counts(gains_scores: ModuleType) -> None:
    counts = gains_scores.Counts(
        pixels=((6, 2, 0), (1, 3, 0), (0, 0, 0)), borders=((4, 2, 4, 4), (4, 4, 4, 4), (0,) * 4)
    )
    found = gains_scores.scores(counts, np.array([1]))
    assert found == pytest.approx(
        {
            "mIoU": 100 * (6 / 9 + 3 / 6) / 2,
            "mean recall": 100 * (6 / 8 + 3 / 4) / 2,
            "rare IoU": 50.0,
            "boundary F": 100 * (2 * 0.5 / 1.5 + 1) / 2,
        }
    )
    doubled = gains_scores.added(counts, counts)
    assert gains_scores.scores(doubled, np.array([1])) == pytest.approx(found)
    assert doubled.pixels[0] == (12, 4, 0)


def test_the_interval_is_that_of_the_paired_t_test(gains_scores: ModuleType) -> None:
    ours, baseline = [27.1, 29.4, 28.0], [26.4, 27.9, 27.7]
    found = gains_scores.paired_difference(ours, baseline)
    expected = stats.ttest_rel(ours, baseline).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.verdict == "not shown"
    assert gains_scores.paired_difference([2.0, 2.1, 2.2], [1.0, 1.0, 1.0]).verdict == "higher"
    assert gains_scores.paired_difference([0.0, 0.1, 0.2], [1.0, 1.0, 1.0]).verdict == "lower"
    assert gains_scores.paired_difference([1.0], [0.0]) is None


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_the_detectable_effect_is_shown_four_times_in_five(gains_scores: ModuleType, pairs: int) -> None:
    effect = gains_scores.detectable_effect(pairs)
    draws = np.random.default_rng(0).normal(effect / np.sqrt(pairs), 1, (20_000, pairs))
    t = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(pairs))
    shown = (np.abs(t) > stats.t.ppf(0.975, pairs - 1)).mean()
    assert shown == pytest.approx(0.8, abs=0.02)  # seven standard errors of 20,000 draws


def test_an_experiment_goes_on_and_tells_what_it_has(tmp_path: Path, make_tiny_dataset: Callable[..., Path]) -> None:
    data = make_tiny_dataset(tmp_path / "data", train=4, val=2, test=3, size=(64, 96))
    command = [sys.executable, str(BENCHMARKS / "gains.py"), "train", str(data), "--out", str(tmp_path / "out")]
    command += ["--steps", "2", "--batch", "2", "--size", "48x64", "--seeds", "1", "--rows", "ce,ce-weighted"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert "| ce | `ce` | 1 |" in done.stdout
    assert "| ce-weighted |" in done.stdout
    assert "Not run yet: ohem (`ohem`), hardness-light" in done.stdout
    results = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/results").iterdir()}
    assert set(results) == {"ce-0.json", "ce-weighted-0.json"}
    assert json.loads((tmp_path / "out/results/ce-weighted-0.json").read_text())["loss"].startswith(
        "ce(class_weights=("
    )

    subprocess.run(command, capture_output=True, check=True, timeout=300)  # finished: nothing is done again
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/results").iterdir()} == results

    other = subprocess.run([*command, "--steps", "3"], capture_output=True, text=True, check=False, timeout=300)
    assert other.returncode != 0
    assert "is of another experiment than this one" in other.stderr
