import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hardedge.contracts import Checkpoint, load
from hardedge.errors import BadInput
from hardedge.train import finishing, loop, stage
from hardedge.train.branches import HardnessBranch
from hardedge.train.budget import BudgetPlan, Work
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
from hardedge.train.state import TrainingState

Tiny = Callable[..., Recipe]
RESULTS = ("weights.safetensors", "last.safetensors", "training_only.safetensors", "metrics.jsonl")

# kills its own process when the named function is called for the nth time
VICTIM = """
import importlib, json, os, signal, sys
from pathlib import Path
import torch
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

recipe, data, out, module, name, nth = sys.argv[1:]
place = importlib.import_module(module)
original, calls = getattr(place, name), 0

def deadly(*args, **keywords):
    global calls
    calls += 1
    if calls == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **keywords)

setattr(place, name, deadly)
torch.set_num_threads(1)
train(Recipe.from_json(json.loads(recipe)), Path(data), Path(out))
"""


def train_until_killed(recipe: Recipe, data: Path, out: Path, module: str, name: str, nth: int) -> None:
    command = [sys.executable, "-c", VICTIM, json.dumps(recipe.to_json()), str(data), str(out), module, name, str(nth)]
    environment = os.environ | {"PYTHONPATH": str(out.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "checkpoint.json").exists()


@pytest.mark.parametrize(
    ("module", "name", "nth"),
    [
        pytest.param("hardedge.train.loop", "training_step", 13, id="in mid-step"),
        pytest.param("os", "fsync", 8, id="while the state of step 10 is written", marks=pytest.mark.slow),
        pytest.param("hardedge.train.finishing", "seal", 1, id="before the manifest", marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_goes_on_bit_for_bit(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, module: str, name: str, nth: int
) -> None:
    recipe = tiny_recipe(brightness=0.2)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(recipe, tiny_dataset, whole)
    train_until_killed(recipe, tiny_dataset, killed, module, name, nth)
    resumed = train(recipe, tiny_dataset, killed, resume=True)
    for result in RESULTS:
        assert (killed / result).read_bytes() == (whole / result).read_bytes(), result
    assert load(Checkpoint, killed) == resumed
    assert not list(killed.rglob("*.partial"))


def test_a_training_killed_before_its_first_evaluation_begins_again(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    recipe, out = tiny_recipe(steps=5), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tiny_dataset, out)
    assert [path.name for path in (out / "state").iterdir()] == ["run.json"]
    train(recipe, tiny_dataset, out, resume=True)
    train(recipe, tiny_dataset, tmp_path / "whole")
    for result in RESULTS:
        assert (out / result).read_bytes() == (tmp_path / "whole" / result).read_bytes()


def test_resuming_a_budget_keeps_the_steps_that_were_found(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    plan = BudgetPlan(7, Work(validation=1, evaluate_every=3, test_maps=2, calibration_maps=1))
    monkeypatch.setattr(stage, "plan_within", lambda *_, **__: plan)
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "seal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_recipe(), tiny_dataset, tmp_path / "out", budget=3.0)
    resumed = train(tiny_recipe(), tiny_dataset, tmp_path / "out", resume=True)
    assert resumed is not None
    assert (resumed.steps, resumed.recipe["evaluate_every"]) == (7, 3)
    assert len(list((tmp_path / "out/hardness/train").iterdir())) == 1


def test_resume_names_what_differs(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(tiny_recipe(steps=1), tiny_dataset, out)
    (out / "checkpoint.json").unlink()
    (tiny_dataset / "splits" / "val.txt").write_text("scene004\n")
    with pytest.raises(BadInput) as caught:
        train(tiny_recipe(steps=1, learning_rate=0.5, crop=(64, 64)), tiny_dataset, out, resume=True)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[1:4] == [
        "learning_rate: 0.5 now, 0.01 then",
        "crop: [64, 64] now, [32, 48] then",
        "data: other files, splits or classes than then",
    ]


def test_there_must_be_something_unfinished_to_resume(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="nothing to resume. Start the training without --resume"):
        train(tiny_recipe(steps=1), tiny_dataset, out, resume=True)
    train(tiny_recipe(steps=1), tiny_dataset, out)
    with pytest.raises(BadInput, match="is finished: nothing to resume"):
        train(tiny_recipe(steps=1), tiny_dataset, out, resume=True)


def test_a_damaged_state_is_told(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(tiny_recipe(steps=1), tiny_dataset, out)
    (out / "checkpoint.json").unlink()
    state = out / "state" / "training.pt"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(BadInput, match=r"training.pt cannot be read .* Start again with --force"):
        train(tiny_recipe(steps=1), tiny_dataset, out, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["lraspp_mobilenet_v3_large", "deeplabv3plus_resnet18"])
def test_a_shipped_network_goes_on_bit_for_bit_on_all_threads(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    hard = {"loss": parse_loss("hardness + 0.5*cpg"), "branches": (HardnessBranch("faithful"),)}
    recipe = tiny_recipe(network=network, steps=6, evaluate_every=2, **hard)
    train(recipe, tiny_dataset, tmp_path / "whole")
    step = loop.training_step

    def interrupted_at_step_5(state: TrainingState, *rest: Any) -> dict[str, float]:
        if state.step == 5:
            raise KeyboardInterrupt
        return step(state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", interrupted_at_step_5)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tiny_dataset, tmp_path / "killed")
    train(recipe, tiny_dataset, tmp_path / "killed", resume=True)
    for result in RESULTS:
        assert (tmp_path / "killed" / result).read_bytes() == (tmp_path / "whole" / result).read_bytes()
