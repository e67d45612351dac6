"""Images that cannot be read, and losses that are not finite."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.train import loop
from hardedge.train.batches.samples import TrainingSample, TrainingSamples, training_batches
from hardedge.train.objective import Objective
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
from hardedge.train.state import TrainingState

Tiny = Callable[..., Recipe]
CPU = torch.device("cpu")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def unreadable(out: Path) -> dict[int, dict[str, str]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["unreadable"] for line in lines if "unreadable" in line}


def test_the_next_image_of_the_epoch_stands_in_for_one_that_cannot_be_read(
    tiny_recipe: Tiny, tiny_dataset: Path
) -> None:
    recipe = tiny_recipe(skip_unreadable=True)
    samples = TrainingSamples(open_dataset(tiny_dataset), recipe)
    whole = [samples[index] for index in range(8)]
    order = [samples.id_at(index) for index in range(8)]
    cut_short(tiny_dataset / "images" / f"{order[1]}.png")
    for index, before in enumerate(whole):
        sample = samples[index]
        assert isinstance(sample, TrainingSample)
        assert isinstance(before, TrainingSample)
        assert before.ids == (order[index],)
        assert before.unreadable == ()
        if order[index] != order[1]:
            assert sample.ids == (order[index],)
            assert torch.equal(sample.image, before.image)
            continue
        epoch = index // 4 * 4
        assert sample.ids == (order[epoch + (index + 1) % 4],)
        assert [id for id, _ in sample.unreadable] == [order[1]]
        assert "cannot be read as an image" in sample.unreadable[0][1]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_say_what_they_skipped(tiny_recipe: Tiny, tiny_dataset: Path, workers: int) -> None:
    recipe = tiny_recipe(skip_unreadable=True, workers=workers)
    dataset = open_dataset(tiny_dataset)
    samples = TrainingSamples(dataset, recipe)
    cut_short(tiny_dataset / "masks" / "scene002.png")
    batches = list(training_batches(samples, recipe, CPU, first=0, last=4))
    skipped = [id for batch in batches for id, _ in batch.unreadable]
    assert skipped == ["scene002"] * 2  # once in each epoch of four
    assert all("scene002" not in batch.ids for batch in batches)
    for id in dataset.splits["train"]:
        cut_short(tiny_dataset / "images" / f"{id}.png")
    with pytest.raises(BadInput, match="none of the training images can be read, for the last of them: .*scene00"):
        list(training_batches(samples, recipe, CPU, first=0, last=1))


def test_what_was_skipped_is_in_the_log_told_at_the_end_and_the_same_after_a_kill(
    tiny_recipe: Tiny,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = tiny_recipe(skip_unreadable=True, steps=8, evaluate_every=3)
    broken = tiny_dataset / "images" / "scene001.png"
    cut_short(broken)
    train(recipe, tiny_dataset, tmp_path / "whole")
    found = unreadable(tmp_path / "whole")
    assert len(found) == 4  # 8 steps of 2 images are 4 epochs of 4
    assert all(list(images) == ["scene001"] for images in found.values())
    said = capsys.readouterr().err
    assert said.count(f"skipped: {broken} cannot be read as an image") == 1
    assert "1 unreadable images were skipped, 4 times: scene001" in said
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
    assert "1 unreadable images were skipped, 4 times: scene001" in capsys.readouterr().err
    for result in ("weights.safetensors", "last.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / result).read_bytes() == (tmp_path / "whole" / result).read_bytes()


def test_an_image_to_validate_on_is_never_skipped(tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path) -> None:
    cut_short(tiny_dataset / "images" / "scene004.png")
    with pytest.raises(BadInput, match=r"scene004.png cannot be read as an image"):
        train(tiny_recipe(skip_unreadable=True, steps=1), tiny_dataset, tmp_path / "out")


def test_a_loss_that_is_not_finite_names_step_images_and_terms_and_keeps_the_last_state(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = tiny_recipe(), tmp_path / "out"
    forward = Objective.forward
    calls = 0

    def spoilt(self: Objective, batch: TrainingSample, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal calls
        calls += 1
        total, terms = forward(self, batch, progress)
        return (total * torch.nan, {"ce": terms["ce"] * torch.inf}) if calls == 8 else (total, terms)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", spoilt)
        with pytest.raises(BadInput) as caught:
            train(recipe, tiny_dataset, out)
    samples = TrainingSamples(open_dataset(tiny_dataset), recipe)
    ids = f"{samples.id_at(14)}, {samples.id_at(15)}"
    assert str(caught.value) == (
        f"step 7: the loss is not finite (loss nan, ce inf) on the images {ids}. The last stored state is kept. "
        "Train again with a lower learning_rate."
    )
    assert not (out / "checkpoint.json").exists()
    kept = torch.load(out / "state/training.pt", weights_only=True)
    assert kept["step"] == 5
    assert all(value.isfinite().all() for value in kept["model"].values())
    assert all(value.isfinite().all() for value in load_file(out / "last.safetensors").values())
    train(recipe, tiny_dataset, out, resume=True)  # the state is a good one
    train(recipe, tiny_dataset, tmp_path / "whole")
    assert (out / "weights.safetensors").read_bytes() == (tmp_path / "whole/weights.safetensors").read_bytes()
