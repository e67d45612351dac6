"""Sweeps: what is trained, what is compared to what, several processes on one sweep, and killed ones."""

import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import load_study

from hardedge.cli import main
from hardedge.contracts import Checkpoint, load
from hardedge.errors import BadInput
from hardedge.statistics.paired_by_seed import paired_difference
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
from hardedge.train.studies.comparison import StudyComparison
from hardedge.train.studies.comparison_text import study_text
from hardedge.train.studies.sweep import sweep

Tiny = Callable[..., Recipe]
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tiny(tiny_recipe: Tiny) -> Recipe:
    return tiny_recipe(steps=2, evaluate_every=2)


def means(found: StudyComparison) -> dict[str, float]:
    return {row.name: row.mean for row in found.rows}


def test_a_grid_is_ordinary_trainings_compared_seed_by_seed(tiny: Recipe, tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = sweep(tiny, tiny_dataset, out, losses=("ce", "0.5*ce + dice"), vary={"steps": "1|2"}, seeds=(3, 4))
    assert [row.name for row in found.rows] == [
        *("ce, steps=1", "ce, steps=2"),
        *("0.5*ce + dice, steps=1", "0.5*ce + dice, steps=2"),
    ]
    assert [row.over for row in found.rows] == [None, "ce, steps=1", "ce, steps=1", "ce, steps=2"]
    checkpoints = {path.name: load(Checkpoint, path) for path in sorted((out / "trials").iterdir())}
    assert len(checkpoints) == 8
    for row in found.rows:
        for seed, number in row.trials.items():
            made = checkpoints[f"{number:04d}"]
            assert row.scores[seed] == made.validation.miou
            assert (made.seed, made.loss, made.steps) == (int(seed), row.point["loss"], int(str(row.point["steps"])))
    first, last = found.rows[1], found.rows[3]
    expected = paired_difference(list(last.scores.values()), list(first.scores.values()))
    assert last.difference == expected
    assert json.loads((out / "result.json").read_text())["rows"][3]["over"] == "ce, steps=2"
    plain = train(Recipe.from_json(checkpoints["0000"].recipe), tiny_dataset, tmp_path / "plain")
    assert plain is not None
    assert plain.files["weights.safetensors"] == checkpoints["0000"].files["weights.safetensors"]

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = sweep(tiny, tiny_dataset, out, losses=("ce", "0.5*ce + dice"), vary={"steps": "1|2"}, seeds=(3, 4))
    assert again == found
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before


def test_the_branch_follows_the_loss_and_equal_trainings_are_one(
    tiny: Recipe, tiny_dataset: Path, tmp_path: Path
) -> None:
    vary = {"branches": "light@2|light@5"}
    found = sweep(tiny, tiny_dataset, tmp_path / "out", losses=("ce", "hardness"), vary=vary, seeds=(0,))
    assert [row.name for row in found.rows] == [
        *("ce, branches=light@2", "hardness, branches=light@2", "hardness, branches=light@5"),
    ]
    assert [row.over for row in found.rows] == [None, "ce, branches=light@2", "ce, branches=light@2"]
    made = [load(Checkpoint, tmp_path / "out/trials" / f"{number:04d}").branches for number in range(3)]
    assert made == [(), ("hardness-light",), ("hardness-light",)]
    assert found.rows[1].difference is None  # one pair says nothing


def test_a_training_that_fails_is_told_and_the_others_go_on(tiny: Recipe, tiny_dataset: Path, tmp_path: Path) -> None:
    vary = {"learning_rate": "0.01|1e30"}
    diverging = sgd(tiny)
    found = sweep(diverging, tiny_dataset, tmp_path / "out", vary=vary, seeds=(0, 1))
    assert [row.name for row in found.rows] == ["ce, learning_rate=0.01"]
    assert [(failed.name, failed.seed) for failed in found.failed] == [
        *(("ce, learning_rate=1e30", 0), ("ce, learning_rate=1e30", 1)),
    ]
    assert "the loss is not finite" in found.failed[0].reason
    assert "failed: trial" in study_text(found, "title")
    with pytest.raises(BadInput, match=r"no training of .* came to its end") as refused:
        sweep(diverging, tiny_dataset, tmp_path / "none", vary={"learning_rate": "1e30|1e31"}, seeds=(0,))
    assert "trial 1 (ce, learning_rate=1e31)" in str(refused.value)


def sgd(recipe: Recipe) -> Recipe:
    return Recipe.from_json(recipe.to_json() | {"optimiser": "sgd", "evaluate_every": 1})


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_sampler_proposes_points_and_each_gets_every_seed(
    sampler: str, tiny: Recipe, tiny_dataset: Path, tmp_path: Path
) -> None:
    vary = {"learning_rate": "1e-4..1e-1:log", "batch": "2..4"}
    found = sweep(
        *(tiny, tiny_dataset, tmp_path / "out"),
        vary=vary,
        seeds=(0, 1),
        metric="recall",
        sampler=sampler,  # type: ignore[arg-type]
        points=2,
    )
    assert [len(row.scores) for row in found.rows] == [2, 2]
    assert found.rows[0].mean >= found.rows[1].mean
    assert all(row.difference is None for row in found.rows)  # they were chosen by their scores
    for row in found.rows:
        assert 1e-4 <= float(str(row.point["learning_rate"])) <= 1e-1
        made = load(Checkpoint, tmp_path / "out/trials" / f"{row.trials['0']:04d}")
        assert made.recipe["learning_rate"] == row.point["learning_rate"]
        assert made.recipe["batch"] == row.point["batch"] in (2, 3, 4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"losses": ("ce", "ce")}, "one of them is there twice"),
        ({"losses": ("cgp",)}, "unknown term cgp"),
        ({"vary": {"stepps": "1|2"}}, "Did you mean steps?"),
        ({"vary": {"seed": "1|2"}}, "seed: give it as --seeds"),
        ({"vary": {"steps": "1|1"}}, "has a value twice"),
        ({"vary": {"steps": "1..9"}}, "a grid goes through values"),
        ({"vary": {"steps": "9..1"}, "sampler": "tpe", "points": 1}, "9..1 is no range"),
        ({"vary": {"learning_rate": "0..1:log"}, "sampler": "tpe", "points": 1}, "no range on a logarithmic scale"),
        ({"vary": {"learning_rate": "-1..1"}, "sampler": "tpe", "points": 1}, "expected a positive number"),
        ({"vary": {"steps": "0|2", "batch": "1|2"}}, "steps: expected 1 or more, got 0"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_written(
    changes: dict[str, object], said: str, tiny: Recipe, tiny_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as refused:
        sweep(tiny, tiny_dataset, tmp_path / "out", **changes)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_points_of_a_sampler_are_said_not_to_be_compared(tiny: Recipe, tiny_dataset: Path, tmp_path: Path) -> None:
    options = {"vary": {"batch": "2|4"}, "seeds": (0,), "points": 2}
    found = sweep(tiny, tiny_dataset, tmp_path / "out", sampler="random", **options)  # type: ignore[arg-type]
    assert "Not compared: a sampler chose these" in study_text(found, "title")


def test_torchrun_is_refused(tiny: Recipe, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    with pytest.raises(BadInput, match="start several of them with one --out, not torchrun"):
        sweep(tiny, tiny_dataset, tmp_path / "out")


@pytest.mark.parametrize(("words", "seeds"), [([], range(10)), (["--seeds", "2", "--first-seed", "5"], range(5, 7))])
def test_the_protocol_is_losses_and_seeds_at_the_last_step(
    words: list[str], seeds: range, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, object] = {}

    def sweep(recipe: Recipe, *_: object, **given: object) -> StudyComparison:
        seen.update(given, recipe=recipe)
        return StudyComparison(study="s", metric="mIoU", rows=(), failed=())

    monkeypatch.setattr("hardedge.train.studies.sweep.sweep", sweep)
    command = ["hardedge", "sweep", "camvid", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--protocol"]
    monkeypatch.setattr(sys, "argv", [*command, *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert seen["losses"] == ("ce", "hardness", "recall", "ce + cpg", "pat", "lmp", "ce + lovasz + abl")
    assert seen["seeds"] == seeds
    assert isinstance(seen["recipe"], Recipe)
    assert seen["recipe"].keep == "last"


def test_the_protocol_has_losses_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["hardedge", "sweep", "camvid", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--protocol"]
    monkeypatch.setattr(sys, "argv", [*command, "--loss", "ce"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--protocol has losses and keep=last of its own" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["sweep", "search-loss"])
def test_without_its_extra_it_says_how_to_add_it(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "optuna" else real(name))
    monkeypatch.setattr(sys, "argv", ["hardedge", words, "camvid", "--data", str(tmp_path), "--out", "o"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    assert "optuna is not installed. Add it with: pip install 'hardedge[sweep]'" in capsys.readouterr().err


def command(out: str, *more: str) -> list[str]:
    """The words of a sweep of two losses, as its processes get them."""
    fields = {"network": "three_layers:build", "branches": "", "batch": "2", "crop": "32,48", "amp": "false"}
    settings = [word for each in fields.items() for word in ("--set", "=".join(each))]
    losses = ["--loss", "ce", "--loss", "ce + dice"]
    return ["sweep", "camvid", "--data", "tiny", "--out", out, *losses, *settings, *more]


@pytest.fixture
def home(tiny_dataset: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data set and the network of the tiny recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    return tmp_path


# the network of the tiny recipe; no process ends its first training before another one has begun one as well
MEETING = """
import time
from pathlib import Path
import torch
from torch import nn

class Meeting(nn.Sequential):
    def forward(self, images):
        end = time.monotonic() + 240
        while torch.is_grad_enabled() and len(list(Path("out/trials").glob("*/state/run.json"))) < 2:
            assert time.monotonic() < end, "alone"
            time.sleep(0.01)
        return super().forward(images)

def build(num_classes):
    return Meeting(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, num_classes, 1))
"""


def test_two_processes_share_a_sweep_and_do_no_trial_twice(
    home: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (home / "three_layers.py").write_text(MEETING)
    words = command("out", "--set", "steps=2", "--seeds", "2", "--storage", "sqlite:///study.db")
    both = [start(*words) for _ in range(2)]
    told = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    done = [re.findall(r"^trial (\d+): loss", each, re.MULTILINE) for each in told]
    assert sorted(done[0] + done[1]) == list("0123")
    assert done[0]
    assert done[1]
    rows = json.loads((home / "out/result.json").read_text())["rows"]
    assert [(row["name"], len(row["scores"])) for row in rows] == [("ce", 2), ("ce + dice", 2)]


@pytest.mark.slow  # four processes, three of them one after the other
def test_a_killed_process_is_taken_over_and_its_training_goes_on(
    home: Path, start: Callable[..., subprocess.Popen[str]], hardedge: Program
) -> None:
    words = command("out", "--set", "steps=60", "--set", "evaluate_every=5", "--seeds", "1")
    victim = start(*words)
    wait_for(home / "out/trials/0000/state/training.pt")
    victim.send_signal(signal.SIGSTOP)  # it is not gone yet
    other = start(*words)
    wait_for(home / "out/trials/0001/checkpoint.json")
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    told = other.communicate(timeout=300)[1]
    assert other.returncode == 0, told
    assert "trial 0 goes on: its process is gone" in told
    storage = JournalStorage(JournalFileBackend(str(home / "out/study.journal")))
    plan = json.loads((home / "out/plan.json").read_text())
    assert [trial.state.name for trial in load_study(study_name=plan["study"], storage=storage).trials] == [
        *("COMPLETE", "COMPLETE"),
    ]
    whole = hardedge("train", "out/trials/0000", "--data", "tiny", "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    for name in ("weights.safetensors", "last.safetensors", "metrics.jsonl"):
        assert (home / "out/trials/0000" / name).read_bytes() == (home / "whole" / name).read_bytes(), name


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 300
    while not path.is_file():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
