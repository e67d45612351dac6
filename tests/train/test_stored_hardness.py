"""Hardness of a trained checkpoint as fixed weights for another training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from hardedge.contracts import Checkpoint, load
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.train import loop
from hardedge.train.batches.samples import TrainingSamples
from hardedge.train.branches import HardnessBranch
from hardedge.train.evaluation import network_input
from hardedge.train.hardness_maps import load_trained, write_training_maps
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]
PLAIN = {"loss": parse_loss("hardness"), "branches": ()}


@pytest.fixture
def teacher(tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path) -> Path:
    recipe = tiny_recipe(loss=parse_loss("hardness"), branches=(HardnessBranch("light", tap="2"),), steps=4)
    train(recipe, tiny_dataset, tmp_path / "teacher")
    return tmp_path / "teacher"


def test_the_maps_are_the_branchs_answer_for_every_training_image(
    teacher: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(tiny_dataset)
    write_training_maps(teacher, dataset, tmp_path / "maps", allow_code=True)
    training = load_trained(load(Checkpoint, teacher), teacher, allow_code=True).eval()
    for id in dataset.splits["train"]:
        image_HWC, label_HW = dataset.pair(id)
        pixels_BCHW = torch.from_numpy(image_HWC.transpose(2, 0, 1).copy()).float()[None] / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.inference_mode():
            logits_B1hw = training((pixels_BCHW - mean.view(3, 1, 1)) / std.view(3, 1, 1))["hardness"]
            logits_B1HW = F.interpolate(logits_B1hw, label_HW.shape, mode="bilinear", align_corners=False)
        expected_HW = (255 * logits_B1HW.sigmoid())[0, 0].numpy()
        written_HW = np.asarray(Image.open(tmp_path / "maps" / f"{id}.png"))
        np.testing.assert_allclose(written_HW, expected_HW, atol=0.51)  # rounded to a whole number


def test_without_a_branch_the_maps_are_one_minus_the_top_probability_and_it_is_said(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_recipe(steps=2), tiny_dataset, tmp_path / "teacher")
    capsys.readouterr()
    write_training_maps(tmp_path / "teacher", open_dataset(tiny_dataset), tmp_path / "maps", allow_code=True)
    assert "has no hardness branch: its maps are 1 - top probability" in capsys.readouterr().err
    dataset = open_dataset(tiny_dataset)
    training = load_trained(load(Checkpoint, tmp_path / "teacher"), tmp_path / "teacher", allow_code=True).eval()
    id = dataset.splits["train"][0]
    image_HWC, _ = dataset.pair(id)
    with torch.inference_mode():
        logits_BCHW = training.model(network_input(image_HWC, torch.device("cpu")))
    expected_HW = 255 * (1 - logits_BCHW.softmax(1).amax(1)[0]).numpy()
    written_HW = np.asarray(Image.open(tmp_path / "maps" / f"{id}.png"))
    np.testing.assert_allclose(written_HW, expected_HW, atol=0.51)


def test_a_sample_carries_the_logits_of_its_map_cut_as_the_image_is(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(tiny_dataset)
    for id in dataset.splits["train"]:
        ramp_HW = np.broadcast_to(np.arange(96, dtype=np.uint8) * 2, (64, 96))
        Image.fromarray(np.ascontiguousarray(ramp_HW)).save(tmp_path / f"{id}.png")
        image_HWC = np.repeat(ramp_HW[..., None], 3, axis=2)
        Image.fromarray(image_HWC).save(dataset.image_path(id))
    samples = TrainingSamples(dataset, tiny_recipe(scale=(1.0, 1.0)), tmp_path)
    for index in range(6):
        sample = samples[index]
        assert not isinstance(sample, BadInput)
        map_HW = sample.beside["hardness"][0].sigmoid() * 255
        red_HW = (sample.image[0] * 0.229 + 0.485) * 255
        # the ends of the range are moved in by half a step
        torch.testing.assert_close(map_HW, red_HW, atol=0.51, rtol=0)


def test_a_training_on_maps_has_no_branch_and_remembers_where_they_are_from(
    teacher: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    made = train(tiny_recipe(steps=4, **PLAIN), tiny_dataset, tmp_path / "student", hardness_maps=teacher)
    assert made.inputs == {"hardness_maps": load(Checkpoint, teacher).digest}
    assert made.branches == ()
    assert made.hardness == "confidence"
    assert not list((tmp_path / "student").rglob("state/hardness_maps*"))
    terms = json.loads((tmp_path / "student/metrics.jsonl").read_text().splitlines()[-1])
    assert terms["step"] == 4


def test_the_weights_of_a_step_are_the_maps(
    teacher: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(**PLAIN)
    dataset = open_dataset(tiny_dataset)
    write_training_maps(teacher, dataset, tmp_path / "maps", allow_code=True)
    samples = TrainingSamples(dataset, recipe, tmp_path / "maps")
    batch = next(loop.training_batches(samples, recipe, torch.device("cpu"), first=0, last=1))
    state = loop.new_state(recipe, dataset.task)
    torch.manual_seed(loop.mix_seed(recipe.seed, "step", 0))
    logits_BCHW = state.training(batch.image)["logits"]
    told = loop.training_step(loop.new_state(recipe, dataset.task), recipe, batch)
    losses_BHW = torch.nn.functional.cross_entropy(logits_BCHW, batch.target, ignore_index=255, reduction="none")
    weights_BHW = (batch.beside["hardness"][:, 0].sigmoid() + 0.1) * (batch.target != 255)
    expected = 0.99 * (weights_BHW * losses_BHW).sum() / weights_BHW.sum()
    assert told["hardness"] == pytest.approx(expected.item(), rel=1e-5)


def test_a_killed_training_goes_on_with_the_same_maps_only(
    teacher: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(steps=4, evaluate_every=2, **PLAIN)
    whole = train(recipe, tiny_dataset, tmp_path / "whole", hardness_maps=teacher)
    real, calls = loop.training_step, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny_dataset, tmp_path / "killed", hardness_maps=teacher)
    other = tmp_path / "other"
    train(tiny_recipe(steps=2), tiny_dataset, other)
    with pytest.raises(BadInput, match="hardness maps: not those of then"):
        train(recipe, tiny_dataset, tmp_path / "killed", resume=True, hardness_maps=other)
    resumed = train(recipe, tiny_dataset, tmp_path / "killed", resume=True, hardness_maps=teacher)
    assert resumed.files["weights.safetensors"] == whole.files["weights.safetensors"]


def test_maps_and_branches_that_do_not_fit_are_refused(
    teacher: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(loss=parse_loss("hardness"), branches=(HardnessBranch("light", tap="2"),))
    with pytest.raises(BadInput, match="hardness maps are given too: set branches="):
        train(recipe, tiny_dataset, tmp_path / "out", hardness_maps=teacher)
    with pytest.raises(BadInput, match='hardness maps are given, which loss "ce" does not use'):
        train(tiny_recipe(), tiny_dataset, tmp_path / "out", hardness_maps=teacher)
    with pytest.raises(BadInput, match="has no checkpoint.json"):
        train(tiny_recipe(**PLAIN), tiny_dataset, tmp_path / "out", hardness_maps=tiny_dataset)
    assert not (tmp_path / "out").exists()


def test_a_teacher_of_other_classes_is_refused(teacher: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    fewer = replace(dataset, task=replace(dataset.task, classes=dataset.task.classes[:2]))
    with pytest.raises(BadInput, match=r"trained on other classes \(sky, road, car\) than these \(sky, road\)"):
        write_training_maps(teacher, fewer, tmp_path / "maps", allow_code=True)
