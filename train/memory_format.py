"""Whether a network trains faster with channels last: measured at the start, as it depends on network and machine."""

import math
import time
from dataclasses import replace
from pathlib import Path

from hardedge.console import note
from hardedge.data.dataset import Dataset
from hardedge.train import processes
from hardedge.train.batches.samples import TrainingSample, TrainingSamples, training_batches
from hardedge.train.evaluation import device_of
from hardedge.train.loop import new_state, quantise_state, training_step
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.state import TrainingState, read_started

ROUNDS = 3
MEASURED_SHARE = 0.05  # of a budget
FORMATS = (False, True)


def with_memory_format(
    recipe: Recipe, dataset: Dataset, out: Path, *, resume: bool, budget: float | None = None
) -> Recipe:
    """The recipe with `channels_last` true or false where it is "auto": measured now, or as the run in `out` began.

    A `budget` (seconds) bounds how long is measured: after a twentieth of it no further step is timed.
    """
    if recipe.channels_last != "auto":
        return recipe
    if resume:
        last = processes.on_rank_zero(lambda: read_started(out).channels_last)
    else:
        measured = processes.raise_together(lambda: faster_with_channels_last(recipe, dataset, budget))
        last = processes.on_rank_zero(lambda: measured)
        if processes.is_rank_zero():
            note(f"channels_last={str(last).lower()}: the faster one here")
    return replace(recipe, channels_last=last)


def faster_with_channels_last(recipe: Recipe, dataset: Dataset, budget: float | None = None) -> bool:
    """Whether a step takes less time with channels last, by steps in turns of two throw-away trainings.

    They have cross-entropy alone: the network is what differs. The least time of each counts, as other work on the
    machine only ever adds to it.
    """
    until = time.perf_counter() + (math.inf if budget is None else MEASURED_SHARE * budget)
    recipe = replace(recipe, loss=parse_loss("ce"), branches=(), compile=False)
    samples = TrainingSamples(dataset, recipe)
    recipes = {last: replace(recipe, channels_last=last) for last in FORMATS}
    states = {last: quantise_state(new_state(each, dataset.task), each, samples) for last, each in recipes.items()}
    batch = next(training_batches(samples, recipe, device_of(states[False].training), first=0, last=1))
    # the first round allocates: it counts only where there is no time for more
    times: list[dict[bool, float]] = []
    while len(times) <= ROUNDS and (not times or time.perf_counter() < until):
        times.append({last: seconds_of_a_step(states[last], recipe, batch) for last in FORMATS})
    times = times[1:] or times
    return min(each[True] for each in times) < min(each[False] for each in times)


def seconds_of_a_step(state: TrainingState, recipe: Recipe, batch: TrainingSample) -> float:
    """How long a step takes; its loss is read, which waits for a GPU."""
    started = time.perf_counter()
    training_step(state, recipe, batch)
    return time.perf_counter() - started
