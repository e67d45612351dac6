"""What fits a budget: the steps, and the work beside them cut to its share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hardedge.contracts import Checkpoint, load
from hardedge.data.opening import open_dataset
from hardedge.train import budget
from hardedge.train.batches.samples import TrainingSamples
from hardedge.train.budget import BudgetPlan, Costs, Work, fit_work, plan_within, with_fewer_images
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]


def test_work_that_fits_is_left_as_it_is() -> None:
    work = Work(validation=10, evaluate_every=100, test_maps=10, calibration_maps=10)
    costs = Costs(step=1.0, image=0.1, batch=0.0)
    # 97 s beside the last evaluation and 20 maps; each step with a hundredth of an evaluation: 1.01 s
    assert fit_work(100.0, work, costs) == BudgetPlan(96, work)


def test_images_and_maps_are_cut_to_a_share() -> None:
    work = Work(validation=1000, evaluate_every=10**6, test_maps=10, calibration_maps=128)
    plan = fit_work(100.0, work, Costs(step=1.0, image=1.0, batch=0.5))
    # 40 s for all of it: 8 of the statistics, 10 of the test maps; 22 images are left, a third of them mapped
    assert (plan.work.calibration_maps, plan.work.validation, plan.work.statistics) == (7, 15, 16)
    assert plan.work.fixed(Costs(step=1.0, image=1.0, batch=0.5)) == 40
    assert plan.steps == 59


def test_statistics_are_cut_where_a_batch_is_slow() -> None:
    work = Work(validation=10, evaluate_every=10**6, test_maps=5, calibration_maps=5)
    plan = fit_work(100.0, work, Costs(step=10.0, image=0.5, batch=4.0))
    assert plan.work.statistics == 5
    assert plan.steps >= 6


def test_frequent_evaluations_become_rarer() -> None:
    work = Work(validation=10, evaluate_every=1, test_maps=0, calibration_maps=0)
    costs = Costs(step=1.0, image=1.0, batch=0.0)
    plan = fit_work(100.0, work, costs)
    # 90 s for steps; all evaluations but the last may take 30 s: three, one every 30 steps
    assert plan.work.evaluate_every == 30
    assert plan.steps == 67
    assert plan.steps * costs.step + (plan.steps // 30 + 1) * costs.evaluation(plan.work) <= 100


@pytest.mark.parametrize("seconds", [-5.0, 1.0, 20.0, 500.0])
@pytest.mark.parametrize("image", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("step", [1e-3, 1.0, 50.0])
def test_a_plan_with_steps_keeps_the_time(seconds: float, image: float, step: float) -> None:
    costs = Costs(step=step, image=image, batch=step / 3)
    plan = fit_work(seconds, Work(validation=200, evaluate_every=50, test_maps=3, calibration_maps=128), costs)
    if plan.steps >= 1:
        evaluations = plan.steps // plan.work.evaluate_every * costs.evaluation(plan.work)
        assert plan.steps * step + evaluations + plan.work.fixed(costs) <= seconds * 1.0001


def test_a_budget_that_is_nearly_enough_is_one_step_and_what_is_cut_is_said(
    tiny_recipe: Tiny, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "measured_costs", lambda *_: Costs(step=10.0, image=1.0, batch=0.1))
    dataset = open_dataset(tiny_dataset)
    samples, recipe = TrainingSamples(dataset, tiny_recipe()), tiny_recipe(evaluate_every=1)
    assert plan_within(15.0, recipe, samples).steps == 1
    said = capsys.readouterr().err
    assert "15 s hold 1 steps (10 s each)" in said
    plan = plan_within(1000.0, recipe, samples)
    assert plan.steps > 10
    assert f"an evaluation every {plan.work.evaluate_every} steps, not 1" in capsys.readouterr().err


def test_the_time_that_was_spent_before_counts(
    tiny_recipe: Tiny, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "measured_costs", lambda *_: Costs(step=1.0, image=0.0, batch=0.0))
    samples = TrainingSamples(open_dataset(tiny_dataset), tiny_recipe())
    assert plan_within(100.0, tiny_recipe(), samples, spent=40.0).steps == 59


def test_a_score_of_fewer_validation_images_says_so(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_ids = (tiny_dataset / "splits/train.txt").read_text().split()
    val_ids = (tiny_dataset / "splits/val.txt").read_text().split()
    (tiny_dataset / "splits/train.txt").write_text("\n".join(train_ids[:2]))
    (tiny_dataset / "splits/val.txt").write_text("\n".join([*val_ids, *train_ids[2:]]))
    whole = open_dataset(tiny_dataset)
    assert with_fewer_images(whole, 1).splits["val"] == (whole.splits["val"][0],)
    assert with_fewer_images(whole, 99) is whole
    monkeypatch.setattr(budget, "fit_work", lambda _, work, __: BudgetPlan(1, Work(1, 5, work.test_maps, 1)))
    train(tiny_recipe(), tiny_dataset, tmp_path / "out", budget=60.0)
    made = load(Checkpoint, tmp_path / "out")
    count = len(whole.splits["val"])
    assert f"it is of 1 of the {count} validation images, as the budget allowed" in (made.doubts or ())
    assert made.data_digest == whole.digest()
