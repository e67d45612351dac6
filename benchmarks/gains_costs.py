"""What a step of each row of benchmarks/gains.py costs over cross-entropy's, in turns on one batch each."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from gains_experiment import Cost, Costs
from gains_rows import ROWS
from gains_training import RECIPE, Work, settings_of
from measure import allocated_at_most, machine, timings

from hardedge.contracts import to_json, write_atomically
from hardedge.data import Dataset, open_dataset
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.evaluation import device_of
from hardedge.train.loop import new_state, training_step
from hardedge.train.recipes import find_recipe
from hardedge.train.state import TrainingState

AGAIN = "ce again"


def cost_all(work: Work, names: list[str], seconds: float) -> None:
    """Measures a step of each row that trains in one process, in turns, on a batch of its own; writes costs.json."""
    rows = {name: ROWS[name] for name in names if ROWS[name].processes == 1 and not ROWS[name].maps_of}
    states = {}
    arms: dict[str, Callable[[], object]] = {}
    for name, row in {"ce": ROWS["ce"], **rows, AGAIN: ROWS["ce"]}.items():
        dataset = open_dataset(Path(work.dataset.root), row.labels)
        states[name], arms[name] = stepper(settings_of(row, 0, work.experiment, work.out), dataset)
        arms[name]()
    device = device_of(states["ce"].training)
    peaks = {name: resident_bytes(states[name]) + allocated_at_most(arms[name], device) for name in arms}
    times = timings(arms, "ce", seconds, device)
    measured = {name: Cost.of(times[name], peaks[name] / peaks["ce"]) for name in arms}
    path = work.results / "costs.json"
    write_atomically(path, to_json(Costs(rows=measured, machine=machine(device))).encode())


def stepper(settings: Mapping[str, str], dataset: Dataset) -> tuple[TrainingState, Callable[[], object]]:
    """A training, and its step on always the same batch."""
    # a rate of almost 0: none may drift to where another is slow
    recipe = find_recipe(RECIPE, {**settings, "learning_rate": "1e-9"})
    state = new_state(recipe, dataset.task)
    batches = training_batches(TrainingSamples(dataset, recipe), recipe, device_of(state.training), first=0, last=1)
    batch = next(batches)
    return state, lambda: training_step(state, recipe, batch)


def resident_bytes(state: TrainingState) -> int:
    """Weights, statistics and the optimiser's averages."""
    averages = [value for each in state.optimiser.state.values() for value in each.values()]
    tensors = [*state.training.state_dict().values(), *averages]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))
