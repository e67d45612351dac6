"""The training stage: a recipe and a data set in, a checkpoint out."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from hardedge.artefact import disk_errors, require_free, resumable_directory, staged_directory
from hardedge.console import note
from hardedge.contracts import Checkpoint, EdgeNetworkManifest, NetworkSpec, load, seal, write_atomically
from hardedge.data.content import require_usable_data, tell_notes
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.ownership import declare_contents, has_manifest
from hardedge.paths import StrPath, local_paths, optional_path
from hardedge.train import processes
from hardedge.train.batches.samples import NORMALISATION, TrainingSamples
from hardedge.train.batches.shared_memory import require_shared_memory
from hardedge.train.branches import FeatureBranch, branch_word
from hardedge.train.budget import steps_within
from hardedge.train.hardness_maps import (
    TRAINING_MAPS,
    calibration_candidates,
    hardness_source,
    write_hardness_maps,
    write_training_maps,
)
from hardedge.train.initial_weights import InitialWeights, load_initial_weights
from hardedge.train.loop import LAST_WEIGHTS, new_state, quantise_state, run_steps, ships_reestimated
from hardedge.train.memory_format import with_memory_format
from hardedge.train.objective import share_gradients
from hardedge.train.progress import METRICS, TENSORBOARD
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.state import (
    STARTED,
    TRAINING,
    Snapshot,
    Started,
    TrainingState,
    load_state,
    read_started,
    require_same,
    stored_state,
    write_started,
)
from hardedge.train.tracking import TRACKED, require_trackers, tracked_by
from hardedge.train.training_sizes import require_training_sizes
from hardedge.version import __version__

WEIGHTS, TRAINING_ONLY = "weights.safetensors", "training_only.safetensors"
_FILES = (STARTED, TRAINING, TRACKED, METRICS, LAST_WEIGHTS, WEIGHTS, TRAINING_ONLY, Checkpoint.FILE)
_PATTERNS = (f"{TENSORBOARD}/*", f"{TRAINING_MAPS}/*", "hardness/test/*.png", "hardness/train/*.png")


@processes.process_group()
def train(
    recipe: Recipe,
    data: StrPath,
    out: StrPath,
    *,
    resume: bool = False,
    budget: float | None = None,
    hardness_maps: StrPath | None = None,
    backbone_weights: StrPath | None = None,
    start_from: StrPath | None = None,
    track: Sequence[str] = (),
    force: bool = False,
) -> Checkpoint | None:
    """Trains the recipe on a data set, and writes the checkpoint directory; its manifest is the last file written.

    `budget` (seconds) replaces the recipe's step count by what fits. `resume` goes on after the last evaluation of a
    training that was killed: on the CPU the result is the uninterrupted run's, bit for bit. With `force` an old `out`
    stays until the new one is whole, which is in OUT.next until then. A failure before the first step leaves nothing.
    `hardness_maps` is a trained checkpoint whose hardness of the training images the loss reads instead of a branch's,
    `backbone_weights` a file with the state_dict that the network's backbone starts from, `start_from` a trained
    checkpoint whose weights are trained further; `track` names trackers (wandb, mlflow) that are told of it.

    Raises BadInput for a recipe, data or weights that cannot be used, a loss that is not finite, `out` that exists
    (unless `force`), and for `resume` where there is nothing to go on with or the recipe or data differ; Unavailable
    when the disk is full, pretrained weights cannot be downloaded, or a tracker is not installed.

    Under torchrun its processes share each batch; the first alone writes and returns the checkpoint, the others return
    None. They may be another number on resuming.
    """
    data, out = local_paths((data, out))
    hardness_maps, backbone_weights, start_from = map(optional_path, (hardness_maps, backbone_weights, start_from))
    dataset, inputs = processes.raise_together(lambda: _usable(recipe, data, budget, hardness_maps, track))
    if not resume:
        read = [path for path in (data, hardness_maps, backbone_weights, start_from) if path]
        processes.on_rank_zero(lambda: require_place(out, force, read))
    processes.on_rank_zero(lambda: _tell(recipe, dataset))
    weights = processes.raise_together(
        lambda: load_initial_weights(recipe, dataset.task, backbone_weights=backbone_weights, start_from=start_from)
    )
    inputs |= weights.digests
    given = recipe
    with disk_errors(), ExitStack() as stack:
        recipe = with_memory_format(given, dataset, out, resume=resume)
        state = processes.raise_together(lambda: _build_state(recipe, dataset, weights))
        new = resumable_directory(out, force=force, worth_keeping=lambda _: state.step > 0)
        place = processes.on_rank_zero(lambda: out if resume else stack.enter_context(new))

        def begin() -> tuple[Started, bytes | None]:
            if resume:
                return load_resumable(given, dataset, inputs, place), stored_state(place)
            return start_training(
                recipe, dataset, inputs, place, given=given, hardness_maps=hardness_maps, budget=budget
            ), None

        started, stored = processes.on_rank_zero(begin)
        recipe = replace(recipe, steps=started.steps)
        if stored is not None:
            processes.raise_together(lambda: load_state(place, stored, state))
        state.objective = share_gradients(state.objective, state.training, recipe)
        maps = place / TRAINING_MAPS if hardness_maps else None
        config = recipe.to_json() | {"data": dataset.name, "data_digest": started.data_digest, "inputs": inputs}
        with tracked_by(track, place, out.name, config) as followers:
            run_steps(state, recipe, TrainingSamples(dataset, recipe, maps), place, followers)
            if not processes.is_rank_zero():
                return None
            made = finish_training(state, recipe, dataset, inputs, place)
            followers.finished(made)
            return made


def require_place(out: Path, force: bool, inputs: Sequence[Path] = ()) -> None:
    """As require_free; a training that an earlier version began, and that was killed, can be replaced as well."""
    if force and (out / STARTED).is_file() and not has_manifest(out):
        read_started(out)
        declare_contents(out, files=_FILES, patterns=_PATTERNS)
    require_free(out, force, inputs)


def declare_training(out: Path, dataset: Dataset) -> None:
    """Lists what the training will write."""
    splits = {"test": dataset.splits["test"], "train": calibration_candidates(dataset.splits["train"])}
    maps = [f"hardness/{split}/{id}.png" for split, ids in splits.items() for id in ids]
    declare_contents(out, files=(*_FILES, *maps), patterns=(f"{TENSORBOARD}/*",))


def _build_state(recipe: Recipe, dataset: Dataset, weights: InitialWeights) -> TrainingState:
    state = new_state(recipe, dataset.task, weights)
    if ":" in recipe.network:
        require_training_sizes(recipe.network, state.training.model, dataset, recipe.crop)
    return quantise_state(state, recipe, TrainingSamples(dataset, recipe))


def _usable(
    recipe: Recipe, data: Path, budget: float | None, hardness_maps: Path | None, track: Sequence[str]
) -> tuple[Dataset, dict[str, str]]:
    require_trackers(track)
    count = processes.process_count()
    require_usable(recipe, hardness_maps=hardness_maps is not None, processes=count)
    require_shared_memory(recipe)
    if budget is not None and count > 1:
        raise BadInput(f"--budget counts the steps of one process, and these are {count}. Set steps instead.")
    dataset = open_dataset(data, recipe.labels)
    require_usable_data(dataset)
    return dataset, input_digests(recipe, hardness_maps)


def input_digests(recipe: Recipe, hardness_maps: Path | None) -> dict[str, str]:
    """The digests of the artefacts that the training reads, by name; raises BadInput where one is not sound."""
    digests: dict[str, str] = {}
    if recipe.edge_network is not None:
        digests["edge_network"] = load(EdgeNetworkManifest, recipe.edge_network).digest
    if hardness_maps is not None:
        digests["hardness_maps"] = load(Checkpoint, hardness_maps).digest
    return digests


def start_training(
    recipe: Recipe,
    dataset: Dataset,
    inputs: dict[str, str],
    out: Path,
    *,
    given: Recipe,
    hardness_maps: Path | None,
    budget: float | None,
) -> Started:
    """Makes the directory with the record of what is started in it; with a budget, after its steps were counted."""
    with staged_directory(out, force=False) as fresh:
        if hardness_maps is not None:
            write_training_maps(
                hardness_maps,
                dataset,
                fresh / TRAINING_MAPS,
                allow_code=_named_here(recipe, hardness_maps),
                skip_unreadable=recipe.skip_unreadable,
            )
        samples = TrainingSamples(dataset, recipe, fresh / TRAINING_MAPS if hardness_maps else None)
        steps = steps_within(budget, recipe, samples) if budget is not None else recipe.steps
        if budget is not None:
            note(f"{budget:.0f} s hold {steps} steps")
        started = Started(
            recipe=given.to_json(),
            budget=budget,
            steps=steps,
            channels_last=bool(recipe.channels_last),
            data_digest=dataset.digest(),
            inputs=inputs,
        )
        write_started(fresh, started)
        declare_training(fresh, dataset)
    return started


def _named_here(recipe: Recipe, checkpoint: Path) -> bool:
    """Whether the checkpoint's network is the one that this training builds, which its user named."""
    return load(Checkpoint, checkpoint).network.name == recipe.network


def load_resumable(recipe: Recipe, dataset: Dataset, inputs: dict[str, str], out: Path) -> Started:
    """The record of the training to go on with; raises BadInput when there is none, or it is finished, or differs."""
    if (out / Checkpoint.FILE).is_file():
        raise BadInput(f"{out} is finished: nothing to resume. Use it, or train anew with --force or another --out.")
    started = read_started(out)
    require_same(started, recipe.to_json(), dataset.digest(), inputs, out)
    return started


def _tell(recipe: Recipe, dataset: Dataset) -> None:
    if not torch.cuda.is_available():
        note(f"no CUDA device: training on the CPU, in {'bfloat16 and ' if recipe.bfloat16 else ''}float32")
    if processes.process_count() > 1:
        note(_shares(recipe))
    for warning in recipe.loss.warnings():
        note(warning)
    if "features" in recipe.loss.accepts and not any(isinstance(part, FeatureBranch) for part in recipe.parts()):
        note(f"loss {recipe.loss}: which features of {recipe.network} to compare is not known; colours alone are")
    tell_notes(dataset)


def _shares(recipe: Recipe) -> str:
    count = processes.process_count()
    text = f"{count} processes, {recipe.batch // count} of the {recipe.batch} images of a step each"
    if recipe.sync_batchnorm and not torch.cuda.is_available():
        text += "; torch synchronises BatchNorm on GPUs alone: each process normalises by its own images"
    return text


def finish_training(
    state: TrainingState, recipe: Recipe, dataset: Dataset, inputs: dict[str, str], out: Path
) -> Checkpoint:
    """Writes the kept weights, the hardness maps, and at the end the manifest."""
    kept = state.best
    assert kept is not None, "the last step is always evaluated"
    _write_tensors(out / WEIGHTS, kept.weights)
    _write_tensors(out / TRAINING_ONLY, kept.branches)
    state.training.model.load_state_dict(state.training.model.state_dict() | kept.weights)
    state.training.branches.load_state_dict(kept.branches)
    write_hardness_maps(state.training, dataset, out / "hardness", skip_unreadable=recipe.skip_unreadable)
    shutil.rmtree(out / TRAINING_MAPS, ignore_errors=True)
    for partial in out.rglob(".*.partial"):
        partial.unlink()
    if state.unreadable:
        times = sum(state.unreadable.values())
        note(f"{len(state.unreadable)} unreadable images were skipped, {times} times: {', '.join(state.unreadable)}")
    return seal(out, _manifest(state, kept, recipe, dataset, inputs))


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_atomically(path, safetensors.torch.save(dict(tensors)))


def _manifest(
    state: TrainingState, kept: Snapshot, recipe: Recipe, dataset: Dataset, inputs: dict[str, str]
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
        doubts=kept.doubts,
    )
