"""What a loss reads beside the network's outputs reaches it in a training: distances, edge network, image, features."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hardedge.contracts import EdgeNetworkManifest, load
from hardedge.data.opening import open_dataset
from hardedge.data.scribbles import write_scribbles
from hardedge.errors import BadInput
from hardedge.train import loop
from hardedge.train.batches.samples import TrainingSamples, denormalise_pixels, normalise_pixels, training_batches
from hardedge.train.edge_network import train_edge_network
from hardedge.train.losses import Dfr, parse_loss
from hardedge.train.losses.boundary import boundary_distance
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.recipes import RECIPES
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]
CPU = torch.device("cpu")


def test_distances_are_those_of_the_augmented_labels(tiny_recipe: Tiny, tiny_dataset: Path) -> None:
    recipe = tiny_recipe(loss=parse_loss("ce + abl"))
    samples = TrainingSamples(open_dataset(tiny_dataset), recipe)
    batch = next(training_batches(samples, recipe, CPU, first=0, last=1))
    for target_HW, distance_HW in zip(batch.target, batch.beside["distance"], strict=True):
        np.testing.assert_array_equal(distance_HW, boundary_distance(target_HW.numpy()))
    assert "distance" not in TrainingSamples(open_dataset(tiny_dataset), tiny_recipe())[0].beside  # type: ignore[union-attr]


def test_the_given_distance_is_the_one_that_abl_would_compute(tiny_recipe: Tiny, tiny_dataset: Path) -> None:
    recipe = tiny_recipe(loss=parse_loss("ce + abl"))
    batch = next(training_batches(TrainingSamples(open_dataset(tiny_dataset), recipe), recipe, CPU, first=0, last=1))
    outputs = {"logits": torch.randn(2, 3, 32, 48)}
    assert recipe.loss(outputs | batch.beside, batch.target) == recipe.loss(outputs, batch.target)


def test_the_image_is_given_as_it_was_read(tiny_dataset: Path) -> None:
    image_CHW = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
    torch.testing.assert_close(denormalise_pixels(normalise_pixels(image_CHW)[None])[0], image_CHW / 255)


def test_dfr_trains_on_scribbles_with_the_features_of_a_known_network(
    tiny_recipe: Tiny, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_scribbles(tiny_dataset)
    seen = []
    real = Dfr._compute

    def watched(self: Dfr, *arguments: torch.Tensor, **given: torch.Tensor) -> torch.Tensor:
        seen.append({name: tuple(value.shape) for name, value in given.items()} | {"target": arguments[1].clone()})
        return real(self, *arguments, **given)

    monkeypatch.setattr(Dfr, "_compute", watched)
    recipe = tiny_recipe(
        network="lraspp_mobilenet_v3_large", loss=parse_loss("ce + 0.1*dfr"), labels="scribbles", steps=1, crop=(64, 96)
    )
    made = train(recipe, tiny_dataset, tmp_path / "out")
    assert seen[0]["image"] == (2, 3, 64, 96)
    assert seen[0]["features"] == (2, 960, 4, 6)
    assert (seen[0]["target"] == 255).float().mean() > 0.8
    assert made.branches == ()


def test_dfr_on_a_network_of_ones_own_says_that_it_sees_colours_alone(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_recipe(loss=parse_loss("ce + 0.1*dfr"), steps=1), tiny_dataset, tmp_path / "out")
    assert "which features of three_layers:build to compare is not known; colours alone are" in capsys.readouterr().err


def test_semeda_reads_the_edge_network_that_its_field_names(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    train_edge_network(tiny_dataset, tmp_path / "edges", steps=1)
    recipe = tiny_recipe(loss=parse_loss(f"ce + semeda(network='{tmp_path}/edges')"), steps=2)
    made = train(recipe, tiny_dataset, tmp_path / "out")
    assert made.inputs == {"edge_network": load(EdgeNetworkManifest, tmp_path / "edges").digest}
    assert not any("edge" in name for name in made.files if name.endswith(".safetensors"))
    state = loop.new_state(recipe, open_dataset(tiny_dataset).task)
    assert not any(parameter.requires_grad for parameter in state.tools["edge_network"].parameters())


def test_an_edge_network_that_is_missing_or_knows_other_classes_is_refused(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="semeda needs an edge network. Train one with `hardedge edges`"):
        require_usable(tiny_recipe(loss=parse_loss("ce + semeda")))
    nowhere = tiny_recipe(loss=parse_loss(f"ce + semeda(network='{tiny_dataset}')"))
    with pytest.raises(BadInput, match=r"has no edge_network\.json. Create it with: hardedge edges"):
        train(nowhere, tiny_dataset, tmp_path / "out")
    train_edge_network(tiny_dataset, tmp_path / "edges", steps=1)
    task = open_dataset(tiny_dataset).task
    recipe = tiny_recipe(loss=parse_loss(f"ce + semeda(network='{tmp_path}/edges')"))
    with pytest.raises(BadInput, match="knows the edges of sky, road, car, but the data set's classes are sky, road"):
        loop.new_state(recipe, replace(task, classes=task.classes[:2]))


def test_a_loss_whose_terms_all_start_late_is_refused() -> None:
    with pytest.raises(BadInput, match="no term counts from the first step on"):
        require_usable(replace(RECIPES["streets"](), loss=parse_loss("ce@0.5"), branches=()))


def test_an_ignore_index_of_ones_own_is_refused_in_a_training() -> None:
    with pytest.raises(BadInput, match="ignore_index must be 255, the value of ignored pixels in every training batch"):
        require_usable(replace(RECIPES["streets"](), loss=parse_loss("ce(ignore_index=11)"), branches=()))


def test_two_hardness_weightings_are_allowed_and_told(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_recipe(loss=parse_loss("lmp + ohem"), steps=1), tiny_dataset, tmp_path / "out")
    assert "lmp and ohem both weigh hard pixels; no evidence says that it helps" in capsys.readouterr().err
    assert parse_loss("recall + hardness").warnings() == ()


def test_a_late_term_appears_in_the_log_when_it_starts(tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path) -> None:
    train(tiny_recipe(loss=parse_loss("ce + cpg@0.7"), steps=20), tiny_dataset, tmp_path / "out")
    lines = (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    told = {line.partition(",")[0]: "cpg" in line for line in lines if "terms" in line}
    assert told == {'{"step": 10': False, '{"step": 20': True}
