"""The training stage: a recipe and a data set in, a checkpoint out."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from hardedge import __version__
from hardedge.artefact import disk_errors, require_free, staged
from hardedge.console import note
from hardedge.contracts import Checkpoint, NetworkSpec, seal, write_atomically
from hardedge.data.folder import Dataset, open_dataset
from hardedge.errors import BadInput
from hardedge.train.budget import steps_within
from hardedge.train.evaluation import needs_reestimation
from hardedge.train.hardness_maps import hardness_source, write_hardness_maps
from hardedge.train.loop import fit, new_state
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.samples import NORMALISATION, TrainingSamples
from hardedge.train.state import (
    Snapshot,
    Started,
    TrainingState,
    load_state,
    read_started,
    require_same,
    write_started,
)


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    budget: float | None = None,
    force: bool = False,
) -> Checkpoint:
    """Trains the recipe on a data set, and writes the checkpoint directory; its manifest is the last file written.

    `budget` (seconds) replaces the recipe's step count by what fits. `resume` goes on after the last evaluation of a
    training that was killed: on the CPU the result is the uninterrupted run's, bit for bit. Raises BadInput for a
    recipe or data that cannot be used, a loss that is not finite, `out` that exists (unless `force`), and for `resume`
    where there is nothing to go on with or the recipe or data differ; MissingHere when the disk is full.
    """
    dataset = open_dataset(data)
    require_usable(recipe)
    with disk_errors():
        _tell_device()
        state = new_state(recipe, dataset.task)
        started = resumable(recipe, dataset, out) if resume else start(recipe, dataset, out, budget, force)
        recipe = replace(recipe, steps=started.steps)
        load_state(out, state)
        fit(state, recipe, TrainingSamples(dataset, recipe), out)
        return finish(state, recipe, dataset, out)


def start(recipe: Recipe, dataset: Dataset, out: Path, budget: float | None, force: bool) -> Started:
    """Makes the directory with the record of what is started in it; with a budget, after its steps were counted."""
    require_free(out, force)
    steps = steps_within(budget, recipe, dataset) if budget is not None else recipe.steps
    if budget is not None:
        note(f"{budget:.0f} s hold {steps} steps")
    started = Started(recipe=recipe.to_json(), budget=budget, steps=steps, data_digest=dataset.digest())
    with staged(out, force=force) as fresh:
        write_started(fresh, started)
    return started


def resumable(recipe: Recipe, dataset: Dataset, out: Path) -> Started:
    """The record of the training to go on with; raises BadInput when there is none, or it is finished, or differs."""
    if (out / Checkpoint.FILE).is_file():
        raise BadInput(f"{out} is finished: nothing to resume. Use it, or train anew with --force or another --out.")
    started = read_started(out)
    require_same(started, recipe.to_json(), dataset.digest(), out)
    return started


def _tell_device() -> None:
    if not torch.cuda.is_available():
        note("no CUDA device: training on the CPU, in float32")


def finish(state: TrainingState, recipe: Recipe, dataset: Dataset, out: Path) -> Checkpoint:
    """Writes the kept weights, the hardness maps, and at the end the manifest."""
    kept = state.best
    assert kept is not None, "the last step is always evaluated"
    _write_tensors(out / "weights.safetensors", kept.weights)
    _write_tensors(out / "training_only.safetensors", kept.branches)
    state.training.model.load_state_dict(kept.weights)
    state.training.branches.load_state_dict(kept.branches)
    write_hardness_maps(state.training, dataset, out / "hardness")
    for partial in out.rglob(".*.partial"):
        partial.unlink()
    return seal(out, _manifest(state, kept, recipe, dataset))


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_atomically(path, safetensors.torch.save(dict(tensors)))


def _manifest(state: TrainingState, kept: Snapshot, recipe: Recipe, dataset: Dataset) -> Checkpoint:
    auxiliary = ("auxiliary",) if recipe.auxiliary else ()
    return Checkpoint(
        schema_id=Checkpoint.SCHEMA,
        hardedge=__version__,
        made_from=None,
        files={},
        task=dataset.task,
        network=NetworkSpec(name=recipe.network, num_classes=dataset.task.num_classes),
        normalisation=NORMALISATION,
        recipe=recipe.to_json(),
        loss=str(recipe.loss),
        branches=(*(f"hardness-{branch.kind}" for branch in recipe.branches), *auxiliary),
        seed=recipe.seed,
        steps=recipe.steps,
        best_step=kept.step,
        validation=kept.score,
        batchnorm_reestimated=needs_reestimation(state.training, recipe.steps),
        hardness=hardness_source(state.training),
        data=dataset.name,
        data_digest=dataset.digest(),
        torch=torch.__version__,
        seconds=state.seconds,
    )
