"""What the word RECIPE may be besides a shipped name: a file of the user's own, and a training that was done."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hardedge.contracts import Checkpoint, load
from hardedge.errors import BadInput
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.recipes import RECIPES, find_recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]
Program = Callable[..., subprocess.CompletedProcess[str]]

ONE = """
from dataclasses import replace
from hardedge.train.recipes import camvid, streets
from beside import STEPS

def _base():
    return camvid()

def with_rate(rate):
    return replace(_base(), learning_rate=rate)

def mine():
    return replace(with_rate(0.125), name="mine", steps=STEPS)
"""
TWO = """
from dataclasses import replace
from hardedge.train.recipes import camvid

def short():
    return replace(camvid(), name="short", steps=3)

def long():
    return replace(camvid(), name="long", steps=30)
"""
FILES = {
    "one.py": ONE,
    "beside.py": "STEPS = 7\n",
    "two.py": TWO,
    "none.py": "from hardedge.train.recipes import camvid\n\ndef half(steps):\n    return steps // 2\n",
    "number.py": "def mine():\n    return 3\n",
    "syntax.py": "def mine():\n    return (\n",
    "imports.py": "\nimport surely_not_installed\n",
    "raises.py": "def helper(_=0):\n    raise KeyError('x')\n\ndef mine():\n    return helper()\n",
    "loss.py": "from hardedge.train.losses import parse_loss\n\ndef mine():\n    return parse_loss('ce + cgp')\n",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the files, as the current one, and no trace afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    yield tmp_path
    sys.modules.pop("beside", None)


def test_a_file_with_one_recipe(here: Path) -> None:
    expected = replace(RECIPES["camvid"](), name="mine", steps=7, learning_rate=0.125)
    assert find_recipe("one.py", {}) == expected
    assert find_recipe(str(here / "one.py"), {"train.batch": "8"}) == replace(expected, batch=8)


def test_one_of_several_recipes_in_a_file(here: Path) -> None:
    assert find_recipe("two.py:long", {}) == replace(RECIPES["camvid"](), name="long", steps=30)
    assert find_recipe("two.py:short", {"steps": "4"}) == replace(RECIPES["camvid"](), name="short", steps=4)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("on.py", r"on.py: no such file. Did you mean one.py\? Give the path"),
        ("none.py", "none.py has no recipe: no public function of its own without parameters. Write one"),
        ("two.py", "two.py has 2 recipes. Name one of them: two.py:short, two.py:long."),
        ("two.py:lomg", r"two.py has no function lomg. Did you mean long\? It has: short, long."),
        ("number.py", "number.py: mine returned int. Return a Recipe"),
        ("syntax.py", "syntax.py: SyntaxError: '\\(' was never closed"),
        ("imports.py", "imports.py, line 2: ModuleNotFoundError: No module named 'surely_not_installed'"),
        ("raises.py", r"raises.py, line 2: KeyError: 'x'\nMend the file"),
        ("one.py:with_rate", "one.py: TypeError: with_rate.. missing 1 required positional argument: 'rate'"),
        ("loss.py", 'loss.py, line 4: loss "ce . cgp": unknown term cgp. Did you mean cpg'),
    ],
)
def test_what_is_wrong_with_a_file_is_said(here: Path, word: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        find_recipe(word, {})


def test_a_setting_is_checked_against_the_files_own_recipe(here: Path) -> None:
    with pytest.raises(BadInput, match=r"a recipe has no field bach. Did you mean batch\?"):
        find_recipe("one.py", {"train.bach": "8"})
    with pytest.raises(BadInput, match=r"recipe one.py is not a recipe:\n  batch: Input should be a valid integer"):
        find_recipe("one.py", {"batch": "many"})


def test_a_finished_training_is_run_again_to_the_same_bytes(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    recipe = tiny_recipe(steps=4, brightness=0.2, loss=parse_loss("ce + 0.25*cpg(kernel=5)@0.5"), warm_up=2)
    train(recipe, tiny_dataset, first)
    again = find_recipe(str(first), {"network": "three_layers:build"})
    assert again == recipe
    train(again, tiny_dataset, second)
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()
    assert load(Checkpoint, second).recipe == load(Checkpoint, first).recipe


def test_the_manifest_alone_holds_the_recipe_with_the_steps_that_a_budget_had(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardedge.train import budget

    monkeypatch.setattr(budget, "fit_work", lambda _, work, __: budget.BudgetPlan(3, work))
    train(tiny_recipe(steps=1000), tiny_dataset, tmp_path / "out", budget=5.0)
    (tmp_path / "out" / "checkpoint.json").rename(tmp_path / "kept.json")
    assert find_recipe(str(tmp_path / "kept.json"), {"network": "three_layers:build"}) == tiny_recipe(steps=3)
    named = {"network": "three_layers:build", "seed": "5"}
    assert find_recipe(str(tmp_path / "kept.json"), named) == tiny_recipe(steps=3, seed=5)


def test_what_a_training_read_beside_its_recipe_is_said(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = "lraspp_mobilenet_v3_large"
    from hardedge.contracts import NetworkSpec
    from hardedge.models import build_network

    backbone = build_network(NetworkSpec(name=network, num_classes=3)).backbone
    torch.save(backbone.state_dict(), tmp_path / "backbone.pt")
    train(
        tiny_recipe(steps=1, network=network),
        tiny_dataset,
        tmp_path / "out",
        backbone_weights=tmp_path / "backbone.pt",
    )
    capsys.readouterr()
    find_recipe(str(tmp_path / "out"), {})
    assert "that training also had --backbone-weights, which is no part of its recipe" in capsys.readouterr().err


def test_a_directory_or_manifest_without_a_recipe_is_told(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="tiny has no checkpoint.json: no recipe to run again. Give the directory of a"):
        find_recipe(str(tiny_dataset), {})
    with pytest.raises(BadInput, match="gone.json: no such file: no recipe to run again"):
        find_recipe(str(tmp_path / "gone.json"), {})
    train(tiny_recipe(steps=1), tiny_dataset, tmp_path / "out")
    manifest = tmp_path / "out" / "checkpoint.json"
    record = json.loads(manifest.read_text())
    record["recipe"]["stepz"] = 3
    manifest.write_text(json.dumps(record))
    with pytest.raises(BadInput, match=r"checkpoint.json, recipe is not a recipe:\n  stepz: "):
        find_recipe(str(manifest), {})
    manifest.write_text("{}")
    with pytest.raises(BadInput, match="checkpoint.json"):
        find_recipe(str(manifest), {})


def test_the_command_trains_a_file_and_its_checkpoint_has_the_recipe(
    here: Path, hardedge: Program, tiny_dataset: Path, tiny_recipe: Tiny
) -> None:
    fields = tiny_recipe(steps=2, workers=0).to_json()
    (here / "mine.py").write_text(
        f"from hardedge.train.recipe import Recipe\n\ndef mine():\n    return Recipe.from_json({fields!r})\n"
    )
    done = hardedge("train", "mine.py", "--data", tiny_dataset, "--out", "a", "--set", "train.batch=4", cwd=here)
    assert done.returncode == 0, done.stderr
    again = find_recipe("a/checkpoint.json", {"network": "three_layers:build", "seed": "3"})
    assert again == tiny_recipe(steps=2, batch=4, seed=3)
