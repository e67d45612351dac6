import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from hardedge.artefact import staged_directory
from hardedge.contracts import Checkpoint, load, seal
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.metrics import score_of
from hardedge.models import build_network
from hardedge.ownership import CONTENTS
from hardedge.train import budget, loop
from hardedge.train.branches import HardnessBranch
from hardedge.train.budget import BudgetPlan, Costs, Work
from hardedge.train.evaluation import confusion_of, network_input
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
from hardedge.train.state import TrainingState

Tiny = Callable[..., Recipe]
WEIGHTS = ("weights.safetensors", "last.safetensors", "training_only.safetensors")


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def plain_network(checkpoint: Checkpoint, weights: Path) -> torch.nn.Module:
    network = build_network(checkpoint.network)
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network.eval()


def test_it_learns_and_hands_over_a_whole_checkpoint(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = tiny_recipe(steps=50, evaluate_every=10, learning_rate=3e-3)
    made = train(recipe, tiny_dataset, out)
    assert load(Checkpoint, out) == made
    lines = metrics(out)
    losses = [line["terms"]["loss"] for line in lines if "terms" in line]  # type: ignore[index]
    scores = [line["miou"] for line in lines if "miou" in line]
    assert losses[-1] < 0.5 * losses[0]
    assert scores[-1] > scores[0]
    assert made.validation.miou == max(scores)
    assert made.best_step == 10 * (1 + scores.index(max(scores)))
    assert (made.steps, made.loss, made.branches, made.batchnorm_reestimated) == (50, "ce", (), True)
    assert Recipe.from_json(made.recipe) == recipe
    assert list((out / "tensorboard").glob("events.*"))
    dataset = open_dataset(tiny_dataset)
    shipped = plain_network(made, out / "weights.safetensors")
    assert score_of(confusion_of(shipped, dataset, dataset.splits["val"]), dataset.task) == made.validation
    last = plain_network(made, out / "last.safetensors")
    assert score_of(confusion_of(last, dataset, dataset.splits["val"]), dataset.task).miou == scores[-1]


def test_without_a_branch_hardness_is_the_lack_of_confidence(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = train(tiny_recipe(steps=3), tiny_dataset, out)
    assert made.hardness == "confidence"
    dataset = open_dataset(tiny_dataset)
    network = plain_network(made, out / "weights.safetensors")
    for split in ("test", "train"):
        assert {path.stem for path in (out / "hardness" / split).iterdir()} == set(dataset.splits[split])
        for id in dataset.splits[split]:
            with torch.no_grad():
                probability_CHW = network(network_input(dataset.image(id), torch.device("cpu"))).softmax(1)[0]
            expected_HW = 255 * (1 - probability_CHW.amax(0).numpy())
            with Image.open(out / "hardness" / split / f"{id}.png") as image:
                assert image.mode == "L"
                np.testing.assert_allclose(np.asarray(image), expected_HW, atol=0.51)  # rounding


def test_with_a_branch_hardness_is_the_branchs_and_stays_out_of_the_weights(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    branches = (HardnessBranch(tap="2"),)
    made = train(tiny_recipe(steps=10, loss=parse_loss("hardness"), branches=branches), tiny_dataset, out)
    assert (made.hardness, made.branches) == ("branch", ("hardness-light",))
    branch = safetensors.torch.load_file(out / "training_only.safetensors")
    assert branch
    assert all(key.startswith("hardness.") for key in branch)
    plain_network(made, out / "weights.safetensors")  # strict: no key of the branch
    with Image.open(out / "hardness" / "test" / "scene006.png") as image:
        assert (image.mode, image.size) == ("L", (96, 64))


def test_the_same_recipe_gives_the_same_bytes_with_and_without_a_worker(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    for out, workers in (("a", 0), ("b", 1)):
        train(tiny_recipe(steps=6, workers=workers), tiny_dataset, tmp_path / out)
    for name in WEIGHTS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_keep_last_ships_the_last_evaluation(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = train(tiny_recipe(steps=12, keep="last", learning_rate=0.1), tiny_dataset, out)
    assert made.best_step == 12
    assert (out / "weights.safetensors").read_bytes() == (out / "last.safetensors").read_bytes()


def test_a_budget_is_a_number_of_steps(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Costs] = []

    def seven_steps(seconds: float, work: Work, costs: Costs) -> BudgetPlan:
        measured.append(costs)  # really measured: what is left of that must not show in the result
        return BudgetPlan(7, work)

    monkeypatch.setattr(budget, "fit_work", seven_steps)
    within = train(tiny_recipe(steps=1000), tiny_dataset, tmp_path / "budget", budget=5.0)
    assert within.steps == 7
    assert min(measured[0].step, measured[0].image, measured[0].batch) > 0
    train(tiny_recipe(steps=7), tiny_dataset, tmp_path / "steps")
    for name in (*WEIGHTS, "metrics.jsonl"):
        assert (tmp_path / "budget" / name).read_bytes() == (tmp_path / "steps" / name).read_bytes()


def test_a_budget_too_small_for_a_step_is_refused(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"budget 0 s: one step needs about \d+ s here: measuring .*, a step .*, an evaluation"
    ):
        train(tiny_recipe(), tiny_dataset, tmp_path / "out", budget=1e-4)
    assert not (tmp_path / "out").exists()


def test_a_corrupt_image_in_mid_training_stops_it_and_keeps_the_state(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tiny_dataset / "images" / "scene001.png"
    step = loop.training_step

    def break_it_at_step_7(state: TrainingState, *rest: Any) -> dict[str, float]:
        if state.step == 7:
            broken.write_bytes(broken.read_bytes()[:100])
        return step(state, *rest)

    monkeypatch.setattr(loop, "training_step", break_it_at_step_7)
    out = tmp_path / "out"
    with pytest.raises(BadInput, match=r"scene001.png cannot be read as an image .* Replace it"):
        train(tiny_recipe(), tiny_dataset, out)
    assert torch.load(out / "state" / "training.pt", weights_only=True)["step"] == 5
    assert not (out / "checkpoint.json").exists()


def test_a_diverging_loss_stops_it_and_keeps_the_state(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"step \d: the loss is not finite \(loss nan, ce nan\)"):
        train(tiny_recipe(optimiser="sgd", learning_rate=1e30, evaluate_every=1), tiny_dataset, tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoint.json").exists()


def test_an_existing_folder_is_refused_and_force_replaces_it(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with staged_directory(out, force=False) as old:
        (old / "model.onnx").write_text("of before")
    with pytest.raises(BadInput, match=r"out exists.*--force"):
        train(tiny_recipe(steps=1), tiny_dataset, out)
    made = train(tiny_recipe(steps=1), tiny_dataset, out, force=True)
    assert not (out / "model.onnx").exists()
    assert load(Checkpoint, out) == made
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_force_keeps_the_old_checkpoint_until_the_new_one_is_whole(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    old = train(tiny_recipe(steps=1), tiny_dataset, out)
    monkeypatch.setattr("hardedge.train.finishing.seal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(steps=2), tiny_dataset, out, force=True)
    monkeypatch.undo()
    assert load(Checkpoint, out) == old
    made = train(tiny_recipe(steps=2), tiny_dataset, tmp_path / "out.next", resume=True)
    assert made is not None
    assert made.steps == 2


@pytest.mark.parametrize("killed", [True, False])
def test_force_replaces_what_an_earlier_version_trained_and_nothing_beside_it(
    killed: bool, tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    train(tiny_recipe(steps=1), tiny_dataset, out)
    (out / CONTENTS).unlink()
    if killed:
        for path in (out / "checkpoint.json", *(out / "hardness/test").iterdir()):
            path.unlink()
    (out / "thesis.tex").write_text("three years")
    with pytest.raises(BadInput, match=r"did not write \(thesis.tex\)"):
        train(tiny_recipe(steps=1), tiny_dataset, out, force=True)
    (out / "thesis.tex").unlink()
    assert train(tiny_recipe(steps=1), tiny_dataset, out, force=True) == load(Checkpoint, out)


def test_a_training_that_fails_before_its_first_step_leaves_nothing(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise BadInput("an image cannot be read")

    monkeypatch.setattr("hardedge.train.loop.training_step", failing)
    with pytest.raises(BadInput, match="an image"):
        train(tiny_recipe(steps=1), tiny_dataset, tmp_path / "out")
    assert [path for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_faulty_recipe_leaves_the_folder_alone(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "hardness").mkdir(parents=True)
    for changes in ({"steps": 0}, {"network": "three_layers:missing"}):
        with pytest.raises(BadInput):
            train(tiny_recipe(**changes), tiny_dataset, out, force=True)
    assert [path.name for path in out.iterdir()] == ["hardness"]


def test_a_validation_split_without_labels_is_told(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    for id in (tiny_dataset / "splits" / "val.txt").read_text().split():
        Image.fromarray(np.full((64, 96), 255, np.uint8)).save(tiny_dataset / "masks" / f"{id}.png")
    with pytest.raises(BadInput, match="val: no labelled pixel; all are the ignore index 255"):
        train(tiny_recipe(steps=1), tiny_dataset, tmp_path / "out")


def test_sealing_again_finds_the_same_files(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    made = train(tiny_recipe(steps=1), tiny_dataset, tmp_path / "out")
    assert seal(tmp_path / "out", made) == made
