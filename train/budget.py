"""Seconds turned into a step count, by timing steps and evaluations of a training that is thrown away."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hardedge.console import note
from hardedge.data.dataset import Dataset
from hardedge.errors import BadInput
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.evaluation import confusion_of, device_of, with_reestimated_batchnorm
from hardedge.train.hardness_maps import calibration_candidates, evenly_spaced
from hardedge.train.loop import new_state, quantise_state, training_step
from hardedge.train.recipe import Recipe
from hardedge.train.state import STATISTICS_BATCHES, TrainingState

WARM_UP_STEPS = 2
TIMED_STEPS = 20
MEASURED_SHARE = 0.1
STEPS_SHARE = 0.6  # of what measuring may take
FIXED_SHARE = 0.4  # of what is left, for the last evaluation and what follows it
INTERIM_SHARE = 0.3  # for the evaluations before
LEAST_IMAGES = 4
LEAST_BATCHES = 2
FORWARD_SHARE = 0.4  # of a step, where an estimate of statistics was not timed
TIMED_IMAGES = 8
PATIENCE = 10  # times the budget: what needs more is refused


@dataclass(frozen=True)
class Costs:
    """Seconds of one step, of one image evaluated, and of one batch for the statistics of BatchNorm."""

    step: float
    image: float
    batch: float

    def evaluation(self, work: "Work") -> float:
        """Seconds of an evaluation."""
        return work.statistics * self.batch + work.validation * self.image


@dataclass(frozen=True)
class Work:
    """What a training does beside its steps: images validated, an evaluation every so many steps, hardness maps.

    `statistics` are the batches that BatchNorm's statistics are estimated on for an evaluation.
    """

    validation: int
    evaluate_every: int
    test_maps: int
    calibration_maps: int
    statistics: int = STATISTICS_BATCHES

    def fixed(self, costs: Costs) -> float:
        """Seconds of the last evaluation and of the maps."""
        return costs.evaluation(self) + (self.test_maps + self.calibration_maps) * costs.image


@dataclass(frozen=True)
class BudgetPlan:
    """Steps, and the work beside them, that fit a budget."""

    steps: int
    work: Work


def plan_within(budget: float, recipe: Recipe, samples: TrainingSamples, *, spent: float = 0.0) -> BudgetPlan:
    """What fits in so many seconds, of which `spent` are gone and this measurement takes a share.

    Work beside the steps is cut to a share of the budget, and told. Raises BadInput with the breakdown where the least
    of it takes more than ten times the budget.
    """
    started = time.perf_counter() - spent
    note(f"measuring how long a step takes, at most about {math.ceil(MEASURED_SHARE * budget)} s")
    costs = measured_costs(replace(recipe, steps=WARM_UP_STEPS + TIMED_STEPS), samples, MEASURED_SHARE * budget)
    left = budget - (time.perf_counter() - started)
    whole = work_of(recipe, samples.dataset)
    plan = fit_work(left, whole, costs)
    if plan.steps < 1:
        least = budget - left + costs.step + plan.work.fixed(costs)
        if least > PATIENCE * budget:
            raise BadInput(_too_little(budget, budget - left, plan.work, costs, least))
        plan = replace(plan, steps=1)
        note(f"the least takes about {math.ceil(least)} s: a smaller network, crop or batch takes less")
    _tell(budget, plan, whole, costs)
    return plan


def work_of(recipe: Recipe, dataset: Dataset) -> Work:
    """What the recipe does beside its steps without a budget."""
    candidates = calibration_candidates(dataset.splits["train"])
    splits = dataset.splits
    return Work(len(splits["val"]), recipe.evaluate_every, len(splits["test"]), len(candidates))


def with_fewer_images(dataset: Dataset, validated: int | None) -> Dataset:
    """The data set with so many of its validation images, evenly spaced."""
    if validated is None or validated >= len(dataset.splits["val"]):
        return dataset
    return replace(dataset, splits={**dataset.splits, "val": evenly_spaced(dataset.splits["val"], validated)})


def fit_work(seconds: float, work: Work, costs: Costs) -> BudgetPlan:
    """The work cut to its share of the seconds, and the steps beside it; less than one where they hold none.

    Fewer images are validated and mapped for calibration where the last evaluation and the maps would take too much;
    evaluations are rarer where those before it would.
    """
    share = FIXED_SHARE * seconds
    if work.fixed(costs) > share:
        batches = max(LEAST_BATCHES, int(share / 2 / costs.batch)) if costs.batch else work.statistics
        work = replace(work, statistics=min(work.statistics, batches))
    if work.fixed(costs) > share:
        images = int((share - work.statistics * costs.batch) / costs.image) - work.test_maps
        maps = min(work.calibration_maps, max(LEAST_IMAGES, images // 3))
        work = replace(work, calibration_maps=maps, validation=min(work.validation, max(LEAST_IMAGES, images - maps)))
    spare, evaluation = seconds - work.fixed(costs), costs.evaluation(work)
    if spare * evaluation / work.evaluate_every > INTERIM_SHARE * seconds * costs.step:
        work = replace(work, evaluate_every=math.ceil(spare * evaluation / (INTERIM_SHARE * seconds * costs.step)))
    return BudgetPlan(math.floor(spare / (costs.step + evaluation / work.evaluate_every)), work)


def _tell(budget: float, plan: BudgetPlan, whole: Work, costs: Costs) -> None:
    work = plan.work
    note(
        f"{budget:.0f} s hold {plan.steps} steps ({_seconds_text(costs.step)} each), an evaluation every "
        f"{work.evaluate_every} ({_seconds_text(costs.evaluation(work))}) and hardness maps "
        f"({_seconds_text((work.test_maps + work.calibration_maps) * costs.image)})"
    )
    if cut := _cuts(work, whole):
        note(f"cut to fit the time: {', '.join(cut)}")


def _cuts(work: Work, whole: Work) -> list[str]:
    cut = []
    if work.validation < whole.validation:
        cut.append(f"{work.validation} of the {whole.validation} validation images are evaluated")
    if work.statistics < whole.statistics:
        cut.append(f"BatchNorm's statistics are of {work.statistics} batches, not {whole.statistics}")
    if work.calibration_maps < whole.calibration_maps:
        cut.append(f"{work.calibration_maps} of {whole.calibration_maps} training images get a map for calibration")
    if work.evaluate_every > whole.evaluate_every:
        cut.append(f"an evaluation every {work.evaluate_every} steps, not {whole.evaluate_every}")
    return cut


def _too_little(budget: float, measured: float, work: Work, costs: Costs, least: float) -> str:
    return (
        f"budget {budget:.0f} s: one step needs about {math.ceil(least)} s here: measuring {_seconds_text(measured)}, "
        f"a step {_seconds_text(costs.step)}, an evaluation of {work.validation} images "
        f"{_seconds_text(costs.evaluation(work))}, {work.test_maps + work.calibration_maps} hardness maps "
        f"{_seconds_text((work.test_maps + work.calibration_maps) * costs.image)}. Give more time, a smaller "
        "network, crop or batch, or smaller images (hardedge prepare)."
    )


def _seconds_text(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def measured_costs(recipe: Recipe, samples: TrainingSamples, most: float) -> Costs:
    """The costs by 20 timed steps, or as many as take a share of `most` seconds; at least one of each is timed."""
    began = time.perf_counter()
    dataset = samples.dataset
    state = quantise_state(new_state(recipe, dataset.task), recipe, samples)
    step = _seconds_of_a_step(state, recipe, samples, began + STEPS_SHARE * most)
    image = _seconds_of_an_image(state, dataset, began + most)
    late = time.perf_counter() > began + most
    batch = FORWARD_SHARE * step if late else _seconds_of_a_statistics_batch(state, recipe, samples)
    return Costs(step=step, image=image, batch=batch)


def _seconds_of_a_step(state: TrainingState, recipe: Recipe, samples: TrainingSamples, until: float) -> float:
    """The mean of the timed steps, or the last one's where there was no time for more than the warm-up."""
    times: list[float] = []
    started = time.perf_counter()
    for batch in training_batches(samples, recipe, device_of(state.training), first=0, last=recipe.steps):
        training_step(state, recipe, batch)
        ended = time.perf_counter()
        times.append(ended - started)
        started = ended
        if ended > until:
            break
    timed = times[WARM_UP_STEPS:] or times[-1:]
    return sum(timed) / len(timed)


def _seconds_of_an_image(state: TrainingState, dataset: Dataset, until: float) -> float:
    """The mean of some validation images after the first, or the first one's where there was no time for more."""
    ids: Sequence[str] = dataset.splits["val"]
    times: list[float] = []
    for id in (ids[0], *(ids[place * len(ids) // TIMED_IMAGES] for place in range(TIMED_IMAGES))):
        started = time.perf_counter()
        confusion_of(state.training.model, dataset, [id])
        times.append(time.perf_counter() - started)
        if time.perf_counter() > until:
            break
    timed = times[1:] or times
    return sum(timed) / len(timed)


def _seconds_of_a_statistics_batch(state: TrainingState, recipe: Recipe, samples: TrainingSamples) -> float:
    batches = training_batches(samples, recipe, device_of(state.training), first=0, last=1)
    started = time.perf_counter()
    with with_reestimated_batchnorm(state.training, batches):
        return time.perf_counter() - started
