"""benchmarks/gains.py: what its scores add to hardedge's, and a tiny experiment."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from hardedge.data import open_dataset
from hardedge.errors import BadInput

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


def test_the_calibration_error_is_the_gap_of_confidence_and_accuracy(gains_scores: ModuleType) -> None:
    """100 pixels at 0.9 of which 80 are right, 300 at 0.5 of which 150 are: 0.1 * 100 of 400."""
    from gains_experiment import Bin

    bins = (Bin(pixels=100, right=80, confidence=90.0), Bin(pixels=300, right=150, confidence=150.0))
    assert gains_scores.calibration_error(bins) == pytest.approx(2.5)


def test_confident_pixels_are_counted_in_their_bins(
    gains_scores: ModuleType, tmp_path: Path, make_tiny_dataset: Callable[..., Path]
) -> None:
    dataset = open_dataset(make_tiny_dataset(tmp_path / "data", train=1, val=1, test=2, size=(64, 96)))
    classes = dataset.task.num_classes

    class Sure(nn.Module):
        """Class 0 everywhere, at a probability of 0.8."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            scores_C = torch.tensor([np.log(0.8), *[np.log(0.2 / (classes - 1))] * (classes - 1)])
            return scores_C.view(1, -1, 1, 1).expand(1, classes, *images_BCHW.shape[-2:])

    ids = dataset.splits["test"]
    bins = gains_scores.confidence_bins(Sure(), dataset, ids)
    labels = np.concatenate([dataset.mask(id).reshape(-1) for id in ids])
    known = labels[labels != dataset.task.ignore_index]
    assert [each.pixels for each in bins].index(len(known)) == int(0.8 * 15)
    assert sum(each.right for each in bins) == (known == 0).sum()
    assert sum(each.confidence for each in bins) == pytest.approx(0.8 * len(known), abs=0.01)


def test_a_held_out_video_is_judged_and_never_trained_on(
    gains_scores: ModuleType, tmp_path: Path, make_tiny_dataset: Callable[..., Path]
) -> None:
    from gains_data import prepared

    data = make_tiny_dataset(tmp_path / "data", train=4, val=2, test=3, size=(64, 96))
    own = open_dataset(data).splits
    held = own["train"][0]
    found = prepared(data, tmp_path / "choice", (32, 48), held)
    assert found.splits["val"] == found.splits["test"] == (held,)
    assert set(found.splits["train"]) == set(own["train"]) - {held}
    assert found.mask(held).shape == (32, 48)
    with pytest.raises(BadInput, match="0 training images begin with nothing, 4 do not"):
        prepared(data, tmp_path / "none", None, "nothing")


def test_the_protocol_s_order(gains_scores: ModuleType) -> None:
    """Pilot seeds of cross-entropy; ten pairs of the primary question; five of each of the six; the rest."""
    from gains_rows import FURTHER, PRIMARY, ROWS, TESTED, in_order

    order = in_order()
    assert len(set(order)) == len(order)
    assert order[:6] == [("ce", 0), ("ce", 1), ("ce", 2), (PRIMARY, 0), (PRIMARY, 1), (PRIMARY, 2)]
    assert order[6:8] == [("ce", 3), (PRIMARY, 3)]
    assert order[20:26] == [(row, 0) for row in TESTED]
    assert order[50:] == [(row, seed) for seed in range(3) for row in FURTHER]
    assert set(FURTHER) | set(TESTED) | {"ce", PRIMARY} == {name for name in ROWS if "-2" not in name}


def result_of(row: str, seed: int, right: int) -> dict[str, object]:
    """A result of two classes: of 1000 pixels each so many right."""
    counts = {"pixels": [[right, 1000 - right], [1000 - right, right]], "borders": [[9, 8, 9, 8]] * 2}
    empty = {"pixels": [[0, 0], [0, 0]], "borders": [[0, 0, 0, 0]] * 2}
    machine = {"device": "a machine", "threads": "1", "cores": "2", "torch": "2", "date": "2026-11-30"}
    found = {"row": row, "seed": seed, "loss": row, "checkpoint": "0" * 64, "seconds": 1.0, "machine": machine}
    confidence = [{"pixels": 10, "right": 8, "confidence": 9.0}]
    return found | {"curve": [[1, 30.0], [2, 40.0]], "confidence": confidence, "part": empty, "rest": counts}


def write_results(folder: Path, rights: dict[str, list[int]]) -> Path:
    experiment = {
        **{"title": "Tiny", "classes": ["a", "b"], "train_pixels": [9, 1], "data_digest": "0" * 64, "size": None},
        **{"hold_out": "", "part": "", "network": "fpn_resnet18", "backbone": "", "steps": 2, "learning_rate": 0.001},
        **{"batch": 4, "crop": [32, 32], "channels_last": False},
    }
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text(json.dumps(experiment))
    for row, values in rights.items():
        for seed, right in enumerate(values):
            (folder / f"{row}-{seed}.json").write_text(json.dumps(result_of(row, seed, right)))
    return folder


def test_the_page_decides_nothing_before_the_last_seed(gains_scores: ModuleType, tmp_path: Path) -> None:
    from gains_page import plot, results_page

    ce = [700, 710, 690, 705, 695, 702, 698, 707, 693, 701]
    write_results(tmp_path / "some" / "camvid", {"ce": ce[:3], "hardness-light": [731, 738, 722]})
    page = results_page(tmp_path / "some")
    # IoU is right / (2000 - right): 700 right are 53.8 %, 731 are 57.6; ten pairs show 0.996 of their deviation
    assert "**Not yet decided: 3 of 10 pairs, +3.7 [" in page
    assert "10 pairs would show a true difference of 1.7 points" in page
    assert "| hardness-light | `hardness` | 3 of 10 so far |" in page
    assert "open: 3 of 10 pairs so far" in page
    assert "still open for `recall`, `cpg`" in page
    assert "grey: pairs missing" in plot(tmp_path / "some")

    write_results(tmp_path / "all" / "camvid", {"ce": ce, "hardness-light": [right + 30 for right in ce]})
    page = results_page(tmp_path / "all")
    assert "points of mIoU over cross-entropy: higher (p " in page
    assert "| hardness-light | `hardness` | 10 |" in page


def test_the_page_in_the_documents_is_that_of_the_results(gains_scores: ModuleType) -> None:
    from gains_page import plot, results_page

    docs = BENCHMARKS.parent / "docs"
    assert (docs / "results.md").read_text() == results_page(BENCHMARKS / "results")
    assert (docs / "results.svg").read_text() == plot(BENCHMARKS / "results")


@pytest.mark.slow  # trains
def test_an_experiment_goes_on(tmp_path: Path, make_tiny_dataset: Callable[..., Path]) -> None:
    """Finished trainings stay, another experiment is refused; its results alone go on elsewhere, with the same data."""
    data = make_tiny_dataset(tmp_path / "data", train=4, val=2, test=3, size=(64, 96))
    program = [sys.executable, str(BENCHMARKS / "gains.py"), "train"]
    command = [*program, str(data), "--out", str(tmp_path / "out"), "--rows", "ce-weighted", "--seeds", "1"]
    settings = ["--network", "fpn_resnet18", "--steps", "4", "--batch", "2", "--size", "32x64"]
    weights = tmp_path / "weights.pth"
    torch.save(resnet18().state_dict(), weights)
    start = ["--backbone-weights", str(weights)]
    subprocess.run([*command, *settings, *start], capture_output=True, check=True, timeout=850)
    results = tmp_path / "out/results"
    first = {path.name: path.stat().st_mtime_ns for path in results.iterdir()}
    assert set(first) == {"experiment.json", "ce-weighted-0.json"}
    found = json.loads((results / "ce-weighted-0.json").read_text())
    assert found["loss"].startswith("ce(class_weights=(")
    assert [step for step, _ in found["curve"]] == [1, 2, 3, 4]
    assert str(tmp_path) not in (results / "experiment.json").read_text()

    elsewhere = [*program, str(data), "--out", str(tmp_path / "other"), "--resume", str(results)]
    once_more = ["--rows", "ce-weighted", "--seeds", "1"]
    subprocess.run([*elsewhere, *start, *once_more], capture_output=True, check=True, timeout=850)
    assert {path.name: path.stat().st_mtime_ns for path in results.iterdir()} == first

    for refused, why in (
        ([*command, *settings, *start, "--steps", "3"], "is of another experiment than this one"),
        ([*elsewhere, *once_more], "the sha256 of --backbone-weights is"),
    ):
        done = subprocess.run(refused, capture_output=True, text=True, check=False, timeout=850)
        assert done.returncode != 0
        assert why in done.stderr
