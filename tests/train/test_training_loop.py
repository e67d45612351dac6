from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.contracts import ClassInfo, Task
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.metrics import score_of
from hardedge.train.batches.samples import TrainingSample
from hardedge.train.evaluation import confusion_of, needs_reestimation, with_reestimated_batchnorm
from hardedge.train.loop import learning_rate, new_state, training_step
from hardedge.train.losses import parse_loss
from hardedge.train.objective import step_loss
from hardedge.train.recipe import Recipe

TASK = Task(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in "abc"), ignore_index=255)
Tiny = Callable[..., Recipe]


def test_the_rate_falls_as_a_power_of_what_is_left(tiny_recipe: Tiny) -> None:
    recipe = tiny_recipe(learning_rate=0.1, steps=4, poly_power=0.5)
    assert [learning_rate(recipe, step) for step in range(4)] == pytest.approx(
        [0.1, 0.1 * 0.75**0.5, 0.1 * 0.5**0.5, 0.05]
    )


def test_the_rate_ends_at_the_final_one_and_warms_up_from_a_tenth(tiny_recipe: Tiny) -> None:
    recipe = tiny_recipe(learning_rate=0.1, final_rate=0.02, steps=4, poly_power=1.0, warm_up=3)
    curve = [0.1, 0.08, 0.06, 0.04]
    assert [learning_rate(recipe, step) for step in range(4)] == pytest.approx(
        [curve[0] * 0.1, curve[1] * 0.4, curve[2] * 0.7, curve[3]]
    )


def test_a_plain_sgd_step_is_weight_minus_rate_times_gradient(tiny_recipe: Tiny) -> None:
    recipe = tiny_recipe(optimiser="sgd", momentum=0.0, weight_decay=0.0, learning_rate=0.1, steps=10)
    state, reference = new_state(recipe, TASK), new_state(recipe, TASK)
    state.step = 5
    images_BCHW, target_BHW = torch.randn(2, 3, 32, 48), torch.randint(0, 3, (2, 32, 48))
    for module in (*state.training.modules(), *reference.training.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    told = training_step(state, recipe, TrainingSample(images_BCHW, target_BHW, {}))
    loss = F.cross_entropy(reference.training.model(images_BCHW), target_BHW)
    loss.backward()
    assert told == pytest.approx({"loss": loss.item(), "ce": loss.item()})
    assert state.step == 6
    rate = 0.1 * 0.5**0.9
    for after, before in zip(state.training.parameters(), reference.training.parameters(), strict=True):
        assert before.grad is not None
        torch.testing.assert_close(after, before - rate * before.grad)


def test_the_auxiliary_head_adds_its_weighted_cross_entropy(tiny_recipe: Tiny) -> None:
    recipe = tiny_recipe(loss=parse_loss("2*ce"), auxiliary_weight=0.4)
    target_BHW = torch.randint(0, 3, (2, 16, 16))
    target_BHW[0, :4] = 255
    heads = (torch.randn(2, 3, 4, 4), torch.randn(2, 3, 8, 8))
    outputs = {"logits": torch.randn(2, 3, 16, 16), "auxiliary": heads}
    total, terms = step_loss(recipe, outputs, target_BHW, progress=0.0)
    main = F.cross_entropy(outputs["logits"], target_BHW, ignore_index=255)
    upsampled = [F.interpolate(logits, (16, 16), mode="bilinear", align_corners=False) for logits in heads]
    auxiliary = sum(F.cross_entropy(logits, target_BHW, ignore_index=255) for logits in upsampled)
    torch.testing.assert_close(total, 2 * main + 0.4 * auxiliary)
    torch.testing.assert_close(terms, {"ce": main, "auxiliary": auxiliary})


def test_a_real_auxiliary_head_and_branch_train_with_the_network(tiny_recipe: Tiny) -> None:
    from hardedge.train.branches import HardnessBranch

    recipe = tiny_recipe(
        network="deeplabv3_resnet50", loss=parse_loss("hardness"), branches=(HardnessBranch(),), auxiliary=True
    )
    state = new_state(recipe, TASK)
    before = [parameter.clone() for parameter in state.training.parameters()]
    told = training_step(state, recipe, TrainingSample(torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32)), {}))
    assert set(told) == {"loss", "hardness", "auxiliary"}
    changed = [
        not torch.equal(old, new) for old, new in zip(before, state.training.parameters(), strict=True) if old.dim() > 1
    ]
    assert all(changed)


def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(tiny_recipe: Tiny) -> None:
    state = new_state(tiny_recipe(), TASK)
    before = [parameter.clone() for parameter in state.training.parameters()]
    images_BCHW = torch.full((2, 3, 32, 48), torch.nan)
    with pytest.raises(BadInput, match=r"step 0: the loss is not finite \(loss nan, ce nan\).*lower learning_rate"):
        training_step(state, tiny_recipe(), TrainingSample(images_BCHW, torch.zeros(2, 32, 48, dtype=torch.int64), {}))
    assert all(torch.equal(old, new) for old, new in zip(before, state.training.parameters(), strict=True))


def test_reestimated_statistics_are_the_batches_mean_and_are_taken_back(tiny_recipe: Tiny) -> None:
    training = new_state(tiny_recipe(), TASK).training
    training(torch.randn(2, 3, 32, 48))
    norm = training.model[1]  # type: ignore[index]  # the three-layer network is a Sequential
    convolution: Any = training.model[0]  # type: ignore[index]
    before = {name: buffer.clone() for name, buffer in training.named_buffers()}
    batches = [(torch.randn(2, 3, 32, 48) + shift, torch.zeros(0)) for shift in range(3)]
    with torch.no_grad():
        activations = [convolution(images_BCHW) for images_BCHW, _ in batches]
    with with_reestimated_batchnorm(training, batches):
        mean_C = torch.stack([each.mean((0, 2, 3)) for each in activations]).mean(0)
        var_C = torch.stack([each.var((0, 2, 3)) for each in activations]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean_C)
        torch.testing.assert_close(norm.running_var, var_C)
    after = dict(training.named_buffers())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert norm.momentum == 0.1
    assert training.training


def test_short_runs_are_those_below_a_hundred_time_constants() -> None:
    usual, slow = nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=0.01)
    assert needs_reestimation(usual, 999)
    assert not needs_reestimation(usual, 1000)
    assert needs_reestimation(nn.Sequential(usual, slow), 9999)
    assert not needs_reestimation(nn.Sequential(usual, slow), 10000)
    assert not needs_reestimation(nn.Conv2d(3, 3, 1), 1)


class Colour(nn.Module):
    """Calls a pixel sky, road or car by its nearest colour."""

    def __init__(self) -> None:
        super().__init__()
        colours = torch.tensor([(70, 130, 180), (128, 64, 128), (0, 0, 142)]) / 255
        mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
        self.colours_C3 = nn.Parameter((colours - mean) / std)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return -(images_BCHW[:, None] - self.colours_C3[None, :, :, None, None]).square().sum(2)


def test_a_split_is_scored_at_label_resolution(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    counts = confusion_of(Colour(), dataset, dataset.splits["val"])
    assert counts.sum() == 2 * (64 * 96 - 6)  # six pixels of each mask are ignored
    assert counts.trace() == counts.sum()
    assert score_of(counts, dataset.task).miou == 100
    counts[0, 1] = counts[0, 0]  # as if as much of the sky again had been called road
    score = score_of(counts, dataset.task)
    assert score.per_class["sky"] == pytest.approx(50)
    assert score.per_class["car"] == pytest.approx(100)
