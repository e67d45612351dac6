"""The end of a training: the kept weights, the hardness maps, and the manifest."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from hardedge.console import note
from hardedge.contracts import Checkpoint, NetworkSpec, seal, write_atomically
from hardedge.data.dataset import Dataset
from hardedge.train.batches.samples import NORMALISATION
from hardedge.train.branches import branch_word
from hardedge.train.hardness_maps import TRAINING_MAPS, hardness_source, write_hardness_maps
from hardedge.train.loop import ships_reestimated
from hardedge.train.recipe import Recipe
from hardedge.train.state import Snapshot, Started, TrainingState
from hardedge.version import __version__

WEIGHTS, TRAINING_ONLY = "weights.safetensors", "training_only.safetensors"


def finish_training(
    state: TrainingState,
    recipe: Recipe,
    dataset: Dataset,
    inputs: dict[str, str],
    out: Path,
    started: Started,
) -> Checkpoint:
    """Writes the kept weights, the hardness maps, and at the end the manifest."""
    kept = state.best
    assert kept is not None, "the last step is always evaluated"
    _write_tensors(out / WEIGHTS, kept.weights)
    _write_tensors(out / TRAINING_ONLY, kept.branches)
    state.training.model.load_state_dict(state.training.model.state_dict() | kept.weights)
    state.training.branches.load_state_dict(kept.branches)
    write_hardness_maps(
        state.training,
        dataset,
        out / "hardness",
        candidates=started.calibration_maps,
        skip_unreadable=recipe.skip_unreadable,
    )
    shutil.rmtree(out / TRAINING_MAPS, ignore_errors=True)
    for partial in out.rglob(".*.partial"):
        partial.unlink()
    if state.unreadable:
        times = sum(state.unreadable.values())
        note(f"{len(state.unreadable)} unreadable images were skipped, {times} times: {', '.join(state.unreadable)}")
    return seal(out, _manifest(state, kept, recipe, dataset, inputs, _doubts(kept, dataset, started)))


def _doubts(kept: Snapshot, dataset: Dataset, started: Started) -> tuple[str, ...]:
    cut, whole = started.validation_images, len(dataset.splits["val"])
    if cut is None or cut >= whole:
        return kept.doubts
    return (*kept.doubts, f"it is of {cut} of the {whole} validation images, as the budget allowed")


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_atomically(path, safetensors.torch.save(dict(tensors)))


def _manifest(
    state: TrainingState,
    kept: Snapshot,
    recipe: Recipe,
    dataset: Dataset,
    inputs: dict[str, str],
    doubts: tuple[str, ...],
) -> Checkpoint:
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
        inputs=inputs,
        loss=str(recipe.loss),
        branches=(*map(branch_word, recipe.branches), *auxiliary),
        seed=recipe.seed,
        steps=recipe.steps,
        best_step=kept.step,
        validation=kept.score,
        batchnorm_reestimated=ships_reestimated(state.training, recipe),
        hardness=hardness_source(state.training),
        data=dataset.name,
        data_digest=dataset.digest(),
        torch=torch.__version__,
        seconds=state.seconds,
        doubts=doubts,
    )
