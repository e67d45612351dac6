"""The shipped recipes: built, listed, documented; the small ones take two steps."""

import functools
import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from hardedge.cli import cli
from hardedge.contracts import Checkpoint, ClassInfo, NetworkSpec, Task, load
from hardedge.data.opening import open_dataset
from hardedge.models import build_network
from hardedge.train.batches.samples import TrainingSample, TrainingSamples, training_batches
from hardedge.train.branches import BRANCH_NAMES, BranchConfig, attach_branches
from hardedge.train.loop import learning_rate, new_state, training_step
from hardedge.train.recipe import Recipe
from hardedge.train.recipes import RECIPES, realtime
from hardedge.train.recipes.listing import NOTES, recipe_facts, recipe_table, schedule_text
from hardedge.train.stage import train

ROOT = Path(__file__).parents[2]
SMALL = ["quick"] + [name for name in RECIPES if name.startswith("streets") or name.endswith("camvid")]
TASK = Task(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in "abc"), ignore_index=255)
METHODS = ("hardness", "recall", "pat", "cpg", "lmp", "abl")


@functools.cache
def outputs_of(network: str, parts: tuple[BranchConfig, ...], crop: tuple[int, int]) -> dict[str, Any]:
    """What training gives for two images; without memory for weights and maps."""
    spec = NetworkSpec(name=network, num_classes=19)
    with torch.device("meta"):
        outputs: dict[str, Any] = attach_branches(build_network(spec), spec, parts)(torch.empty(2, 3, *crop))
    return outputs


@pytest.mark.parametrize("name", RECIPES)
def test_the_network_and_its_branches_are_built_and_give_what_the_loss_reads(name: str) -> None:
    recipe = RECIPES[name]()
    outputs = outputs_of(recipe.network, recipe.parts(), recipe.crop)
    assert outputs["logits"].shape == (2, 19, *recipe.crop)
    assert set(recipe.loss.needs) <= set(outputs)
    branches = {BRANCH_NAMES[type(branch)] for branch in recipe.branches}
    assert set(outputs) - {"logits", "auxiliary", "features"} == branches
    if recipe.auxiliary:
        assert {logits_BChw.shape[:2] for logits_BChw in outputs["auxiliary"]} == {(2, 19)}


@pytest.mark.parametrize("name", ["streets", "camvid"])
def test_a_small_recipe_is_a_whole_training(
    name: str, make_tiny_dataset: Callable[..., Path], tmp_path: Path, one_thread: None
) -> None:
    data = make_tiny_dataset(tmp_path / "data", train=2, val=1, test=1)
    recipe = replace(RECIPES[name](), steps=2, batch=2, crop=(32, 64), evaluate_every=2)
    made = train(recipe, data, tmp_path / "out")
    assert made is not None
    assert load(Checkpoint, tmp_path / "out") == made
    assert (made.steps, made.best_step, made.hardness) == (2, 2, "branch")
    assert Recipe.from_json(made.recipe) == recipe


STEPPED = [
    pytest.param(name, marks=() if name.startswith(("streets_", "pidnet_s", "stdc1")) else pytest.mark.slow)
    for name in SMALL
    if name not in ("streets", "camvid")
]


@pytest.mark.parametrize("name", STEPPED)
def test_a_small_recipe_takes_two_steps(name: str, tiny_dataset: Path, one_thread: None) -> None:
    recipe = replace(RECIPES[name](), steps=2, batch=2, crop=(32, 64))
    dataset = open_dataset(tiny_dataset)
    samples = TrainingSamples(dataset, recipe)
    state = new_state(recipe, dataset.task)
    before = next(state.training.model.parameters()).clone()
    batches = training_batches(samples, recipe, torch.device("cpu"), first=0, last=2)
    told = [training_step(state, recipe, batch) for batch in batches]
    assert state.step == len(told) == 2
    auxiliary = {"auxiliary"} if recipe.auxiliary else set()
    assert [set(each) for each in told] == [{"loss", *recipe.loss.names} | auxiliary] * 2
    assert not torch.equal(next(state.training.model.parameters()), before)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in SMALL])
def test_a_published_recipe_takes_a_step_on_a_small_crop(name: str, one_thread: None) -> None:
    """Network, branches, auxiliary heads, loss and optimiser as they are; from random weights."""
    recipe = replace(RECIPES[name](), batch=2, crop=(64, 96))
    state = new_state(recipe, TASK)
    before = next(state.training.model.parameters()).clone()
    target_BHW = torch.arange(3).repeat_interleave(32)[:96].expand(2, 64, 96).clone()
    told = training_step(state, recipe, TrainingSample(torch.randn(2, 3, *recipe.crop), target_BHW, {}))
    assert set(told) == {"loss", *(term.loss.name for term in recipe.loss.terms)} | (
        {"auxiliary"} if recipe.auxiliary else set()
    )
    assert not torch.equal(next(state.training.model.parameters()), before)


@pytest.mark.parametrize("data", ["street scenes", "Cityscapes", "SYNTHIA", "NYU Depth v2"])
def test_each_method_stands_beside_the_same_training_with_cross_entropy(data: str) -> None:
    # those of the real-time networks have their own losses, and no cross-entropy beside
    functions = [function for function in RECIPES.values() if function.__module__ != realtime.__name__]
    rows = [facts for facts in recipe_table(functions).recipes if facts.data == data]
    plain = {(facts.network, facts.schedule) for facts in rows if facts.loss == "ce"}
    assert plain
    # ABL has a schedule of its own, and one of CPG's networks is on another encoder
    exempt = ("ocr_cityscapes_abl", "deeplabv3_cityscapes_cpg")
    assert {(facts.network, facts.schedule) for facts in rows if facts.name not in exempt} == plain


def test_every_method_ships_published_and_small() -> None:
    losses = {name: RECIPES[name]().loss for name in RECIPES}
    for method in METHODS:
        using = [name for name, loss in losses.items() if method in str(loss)]
        assert any(name in SMALL for name in using), method
        assert any(name not in SMALL for name in using), method


def test_the_published_schedules_are_those_of_the_logs() -> None:
    """Step by step from the release's training logs, which round to five digits; mmcv counts from 1."""
    logged = {
        "pspnet_cityscapes_hardness": {50: 0.00999, 300: 0.00993, 1000: 0.00978, 1300: 0.00971},
        "lraspp_cityscapes_hardness": {150: 0.01, 200: 0.00999, 1650: 0.00995},
        "bisenetv2_cityscapes_hardness": {50: 0.0072, 100: 0.00945, 250: 0.01618, 500: 0.02738, 650: 0.03408},
    }
    for name, rates in logged.items():
        recipe = RECIPES[name]()
        assert {step: round(learning_rate(recipe, step - 1), 5) for step in rates} == rates, name


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    facts = recipe_facts(RECIPES[name])
    assert facts.summary.endswith(".")
    assert facts.data
    text = RECIPES[name].__doc__ or ""
    assert [text.count(f"    {note}: ") for note in NOTES] == [1] * len(NOTES)


def test_a_schedule_in_words() -> None:
    recipe = replace(RECIPES["streets"](), warm_up=1500, final_rate=1e-5, steps=12345, crop=(64, 128))
    assert (
        schedule_text(recipe) == "AdamW 0.002 to 1e-05, decay 0.01, 1,500 steps of warm-up, 12,345 steps of 4 at 64x128"
    )
    constant = replace(RECIPES["streets"](), optimiser="sgd", poly_power=0.0)
    assert schedule_text(constant) == "SGD 0.002 constant, decay 0.01, 400 steps of 4 at 96x160"


def test_the_table_in_the_documents_is_that_of_the_code() -> None:
    page = (ROOT / "docs/recipes.md").read_text()
    made = runpy.run_path(str(ROOT / "docs/generate.py"))["with_recipes"](page)
    assert page == made, "run: python docs/generate.py"
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(RECIPES)


def test_the_command_lists_the_recipes() -> None:
    done = CliRunner().invoke(cli, ["recipes", "--json"], catch_exceptions=False)
    rows = {row["name"]: row for row in json.loads(done.stdout)["recipes"]}
    assert list(rows) == list(RECIPES)
    assert rows["pspnet_cityscapes_hardness"]["published"].startswith("79.58 % mIoU")
    assert rows["pspnet_cityscapes_hardness"]["network"] == "pspnet_resnet50"
    lines = CliRunner().invoke(cli, ["recipes"], catch_exceptions=False).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
