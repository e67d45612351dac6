"""The search for a loss: what it proposes, what it keeps, and what judges it."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardedge.contracts import Checkpoint, load
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.train.hardness_maps import load_trained
from hardedge.train.losses import parse_loss
from hardedge.train.losses.asl import IOU_CURVES, PUBLISHED
from hardedge.train.losses.curves import curve_fault
from hardedge.train.recipe import Recipe
from hardedge.train.studies import search_loss as module
from hardedge.train.studies.comparison_text import loss_text
from hardedge.train.studies.curves_as_shares import (
    curves_from_shares,
    share_distributions,
    shares_from_curves,
    soft_curves,
)
from hardedge.train.studies.scores import count_scores, scores_of
from hardedge.train.studies.search_loss import ASL_METRIC, loss_from_curves, loss_from_params, search_loss
from hardedge.train.studies.study import Study, StudyJob
from hardedge.train.studies.trial import TrialSetting, score_of_checkpoint

Tiny = Callable[..., Recipe]
Program = Callable[..., subprocess.CompletedProcess[str]]
NUMBERS = {"miou": [6, 6], "recall": [6], "boundary": [2, 2, 2, 2]}


@pytest.mark.parametrize("metric", NUMBERS)
@settings(max_examples=30)
@given(data=st.data())
def test_every_proposal_is_a_loss_that_a_recipe_takes(metric: str, data: st.DataObject) -> None:
    there = share_distributions(NUMBERS[metric])
    assert len(there) == sum(NUMBERS[metric])
    params = {name: data.draw(st.floats(each.low, each.high), name) for name, each in there.items()}
    text = loss_from_params(metric, params)
    assert str(parse_loss(text)) == text
    curves, start = curves_from_shares(params, NUMBERS[metric]), 0
    for count in NUMBERS[metric]:
        assert curve_fault(curves[start : start + count]) is None
        start += count


@pytest.mark.parametrize("metric", NUMBERS)
def test_the_published_curves_and_the_diagonal_are_among_the_proposals(metric: str) -> None:
    for curves in (PUBLISHED[ASL_METRIC[metric]], soft_curves(NUMBERS[metric])):
        assert curves_from_shares(shares_from_curves(curves, NUMBERS[metric]), NUMBERS[metric]) == pytest.approx(
            curves, abs=1e-6
        )
    assert soft_curves([6]) == (0.25, 0.25, 0.5, 0.5, 0.75, 0.75)
    assert soft_curves([2, 2]) == (0.5, 0.5, 0.5, 0.5)


def test_the_loss_names_its_metric_and_what_stands_beside_it() -> None:
    assert loss_from_curves("miou", IOU_CURVES).startswith("asl(curves=(0.00056972844, ")
    assert loss_from_curves("recall", soft_curves([6])).startswith("asl(metric=macc, curves=(0.25, ")
    assert loss_from_curves("boundary", soft_curves(NUMBERS["boundary"])).startswith(
        "ce + asl(metric=bf1, curves=(0.5, "
    )


@pytest.fixture
def val(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> Path:
    return make_tiny_dataset(tmp_path / "data", val=4)


def test_a_search_rewards_with_half_of_the_validation_and_judges_with_the_other(
    val: Path, tiny_recipe: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    recipe = tiny_recipe(seed=4)
    found = search_loss(recipe, val, out, metric="recall", rounds=2, samples=2, steps=2, seeds=2)
    assert "round 2 of 2: the best mean recall so far is" in capsys.readouterr().err
    assert found.score == found.rounds[1] >= found.rounds[0]
    rows = {row.name: row for row in found.comparison.rows}
    assert list(rows) == ["ce", "soft", "published", "found"]
    assert [row.over for row in rows.values()] == [None, "ce", "ce", "ce"]
    assert rows["found"].point == {"loss": found.loss}
    assert all(list(row.scores) == ["5", "6"] for row in rows.values())  # not the search's seed

    kept = sorted(path.name for path in (out / "trials").iterdir())
    assert kept == [f"{number:04d}" for number in range(4, 12)]  # the proxies of the search are gone
    dataset = open_dataset(val)
    for row in rows.values():
        for seed, number in row.trials.items():
            made = load(Checkpoint, out / "trials" / f"{number:04d}")
            assert (made.loss, made.seed, made.steps, made.best_step) == (row.point["loss"], int(seed), 2, 2)
            bench = TrialSetting(val, dataset, "recall", ())
            other_half = dataset.splits["val"][1::2]
            assert row.scores[seed] == score_of_checkpoint(out / "trials" / f"{number:04d}", made, bench, other_half)
    assert json.loads((out / "result.json").read_text())["loss"] == found.loss
    assert f'--set loss="{found.loss}"' in loss_text(found, "train tiny")
    assert parse_loss(found.loss)

    again = search_loss(recipe, val, out, metric="recall", rounds=2, samples=2, steps=2, seeds=2)
    assert again == found


@pytest.mark.slow  # trains once more
def test_the_command_that_it_ends_with_trains_with_what_was_found_and_set(
    val: Path, tiny_recipe: Tiny, tmp_path: Path, hardedge: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_recipe()  # writes the network's file
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "out"
    short = ["--rounds", 1, "--samples", 2, "--steps", 2, "--seeds", 1]
    fields = ("network=three_layers:build", "amp=false", "crop=32,48", "batch=2", "steps=3", "loss=ce + dice")
    settings = [word for each in fields for word in ("--set", each)]
    searched = hardedge("search-loss", "camvid", "--data", val, "--out", out, *short, *settings)
    assert searched.returncode == 0, searched.stderr
    assert "--set loss: not heeded, as the search has losses of its own" in searched.stderr
    assert "--set steps: of the training that the last line prints; proxies have --steps" in searched.stderr
    words = shlex.split(searched.stdout.splitlines()[-1])
    assert words[0] == "hardedge"
    trained = hardedge(*(str(tmp_path / "trained") if word == "DIR" else word for word in words[1:]))
    assert trained.returncode == 0, trained.stderr
    made = load(Checkpoint, tmp_path / "trained")
    assert made.loss == json.loads((out / "result.json").read_text())["loss"]
    assert (made.steps, made.network.name, made.recipe["crop"]) == (3, "three_layers:build", [32, 48])


def test_the_reward_is_of_the_images_that_it_names(
    val: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first trial's reward, counted again from its checkpoint before that is removed."""
    seen: list[float] = []
    dataset = open_dataset(val)
    run_trial = module.run_trial

    def counted_again(study: Study, job: StudyJob, recipe: Recipe, bench: TrialSetting) -> None:
        run_trial(study, job, recipe, bench)
        made = load(Checkpoint, job.out)
        counts = count_scores(load_trained(made, job.out, allow_code=True).model, dataset, dataset.splits["val"][0::2])
        seen.append(scores_of(counts)["boundary F"])

    monkeypatch.setattr(module, "run_trial", counted_again)
    found = search_loss(tiny_recipe(), val, tmp_path / "out", metric="boundary", rounds=1, samples=2, steps=2, seeds=1)
    assert len(seen) == 2 + 4  # the search, and one seed of the comparison
    assert found.rounds == (max(seen[:2]),)


def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    make_tiny_dataset: Callable[..., Path], tiny_recipe: Tiny, tmp_path: Path
) -> None:
    one = make_tiny_dataset(tmp_path / "one", val=1)
    with pytest.raises(BadInput, match=r"the validation split has 1 image\(s\), and a search needs 2 or more"):
        search_loss(tiny_recipe(), one, tmp_path / "out")
    with pytest.raises(BadInput, match="steps: expected 1 or more"):
        search_loss(tiny_recipe(), make_tiny_dataset(tmp_path / "two"), tmp_path / "out", steps=0)
    assert not (tmp_path / "out").exists()


def test_a_search_whose_proxies_all_fail_says_why(val: Path, tiny_recipe: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe(optimiser="sgd", learning_rate=1e38)
    with pytest.raises(BadInput, match=r"no proxy training of .* came to its end .*the loss is not finite"):
        search_loss(recipe, val, tmp_path / "out", rounds=1, samples=2, steps=6, seeds=1)
