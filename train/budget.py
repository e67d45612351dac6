"""Seconds turned into a step count, by timing steps and evaluations of a training that is thrown away."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hardedge.data.dataset import Dataset
from hardedge.errors import BadInput
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.evaluation import confusion_of, device_of, with_reestimated_batchnorm
from hardedge.train.hardness_maps import calibration_candidates
from hardedge.train.loop import STATISTICS_BATCHES, new_state, quantise_state, training_step
from hardedge.train.recipe import Recipe
from hardedge.train.state import TrainingState

WARM_UP_STEPS = 2
TIMED_STEPS = 20
LEAST_TIMED_STEPS = 3
MEASURED_SHARE = 0.1
TIMED_IMAGES = 8
TIMED_STATISTICS = 2


@dataclass(frozen=True)
class Costs:
    """Seconds of one step, of one evaluation, and of what follows the last step."""

    step: float
    evaluation: float
    ending: float


def steps_within(budget: float, recipe: Recipe, samples: TrainingSamples) -> int:
    """The number of steps that fit in so many seconds, this measurement included.

    Raises BadInput when not even one does.
    """
    started = time.perf_counter()
    costs = measured_costs(replace(recipe, steps=WARM_UP_STEPS + TIMED_STEPS), samples, MEASURED_SHARE * budget)
    measured = time.perf_counter() - started
    steps = affordable_steps(budget - measured, recipe.evaluate_every, costs)
    if steps < 1:
        least = math.ceil(measured + costs.step + costs.evaluation + costs.ending)
        raise BadInput(f"budget {budget:.0f} s: one step with its evaluation needs {least} s here. Give more.")
    return steps


def affordable_steps(seconds: float, evaluate_every: int, costs: Costs) -> int:
    """Steps with an evaluation every so many of them and one at the end."""
    spare = seconds - costs.evaluation - costs.ending
    return math.floor(spare / (costs.step + costs.evaluation / evaluate_every))


def measured_costs(recipe: Recipe, samples: TrainingSamples, most: float) -> Costs:
    """The costs by 20 timed steps, or from the third on as many as take `most` seconds."""
    dataset = samples.dataset
    state = quantise_state(new_state(recipe, dataset.task), recipe, samples)
    step = _seconds_of_a_step(state, recipe, samples, most)
    image = _seconds_of_an_image(state, dataset)
    statistics = STATISTICS_BATCHES * _seconds_of_a_statistics_batch(state, recipe, samples)
    mapped = len(dataset.splits["test"]) + len(calibration_candidates(dataset.splits["train"]))
    return Costs(step=step, evaluation=statistics + image * len(dataset.splits["val"]), ending=image * mapped)


def _seconds_of_a_step(state: TrainingState, recipe: Recipe, samples: TrainingSamples, most: float) -> float:
    device = device_of(state.training)
    started = time.perf_counter()
    for batch in training_batches(samples, recipe, device, first=0, last=recipe.steps):
        training_step(state, recipe, batch)
        if state.step == WARM_UP_STEPS:
            started = time.perf_counter()
        if state.step >= WARM_UP_STEPS + LEAST_TIMED_STEPS and time.perf_counter() - started > most:
            break
    return (time.perf_counter() - started) / (state.step - WARM_UP_STEPS)


def _seconds_of_an_image(state: TrainingState, dataset: Dataset) -> float:
    ids = dataset.splits["val"][:TIMED_IMAGES]
    confusion_of(state.training.model, dataset, ids[:1])
    return _seconds(lambda: confusion_of(state.training.model, dataset, ids)) / len(ids)


def _seconds_of_a_statistics_batch(state: TrainingState, recipe: Recipe, samples: TrainingSamples) -> float:
    batches = training_batches(samples, recipe, device_of(state.training), first=0, last=TIMED_STATISTICS)

    def estimate() -> None:
        with with_reestimated_batchnorm(state.training, batches):
            pass

    return _seconds(estimate) / TIMED_STATISTICS


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
