"""The training stage: a recipe and a data set in, a checkpoint out."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from hardedge.artefact import disk_errors, require_free, resumable_directory, staged_directory
from hardedge.console import note
from hardedge.contracts import Checkpoint, EdgeNetworkManifest, load
from hardedge.data.content import require_usable_data, tell_notes
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.ownership import declare_contents, has_manifest
from hardedge.paths import StrPath, local_paths, optional_path
from hardedge.train import processes
from hardedge.train.batches.samples import TrainingSamples
from hardedge.train.batches.shared_memory import require_shared_memory
from hardedge.train.branches import FeatureBranch
from hardedge.train.budget import plan_within, with_fewer_images
from hardedge.train.finishing import TRAINING_ONLY, WEIGHTS, finish_training
from hardedge.train.hardness_maps import (
    TRAINING_MAPS,
    calibration_candidates,
    write_training_maps,
)
from hardedge.train.initial_weights import InitialWeights, load_initial_weights
from hardedge.train.loop import LAST_WEIGHTS, new_state, quantise_state, run_steps
from hardedge.train.memory_format import with_memory_format
from hardedge.train.objective import share_gradients
from hardedge.train.progress import METRICS, TENSORBOARD
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.state import (
    STARTED,
    TRAINING,
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
    began = time.perf_counter()
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
        recipe = with_memory_format(given, dataset, out, resume=resume, budget=budget)
        state = processes.raise_together(lambda: _build_state(recipe, dataset, weights))
        new = resumable_directory(out, force=force, worth_keeping=lambda _: state.step > 0)
        place = processes.on_rank_zero(lambda: out if resume else stack.enter_context(new))

        def begin() -> tuple[Started, bytes | None]:
            if resume:
                return load_resumable(given, dataset, inputs, place), stored_state(place)
            return start_training(
                *(recipe, dataset, inputs, place),
                given=given,
                hardness_maps=hardness_maps,
                budget=budget,
                began=began,
            ), None

        started, stored = processes.on_rank_zero(begin)
        recipe = replace(recipe, steps=started.steps, evaluate_every=started.evaluate_every or recipe.evaluate_every)
        state.statistics = started.statistics_batches or state.statistics
        validated = with_fewer_images(dataset, started.validation_images)
        if stored is not None:
            processes.raise_together(lambda: load_state(place, stored, state))
        state.objective = share_gradients(state.objective, state.training, recipe)
        maps = place / TRAINING_MAPS if hardness_maps else None
        config = recipe.to_json() | {"data": dataset.name, "data_digest": started.data_digest, "inputs": inputs}
        with tracked_by(track, place, out.name, config) as followers:
            run_steps(state, recipe, TrainingSamples(validated, recipe, maps), place, followers)
            if not processes.is_rank_zero():
                return None
            made = finish_training(state, recipe, dataset, inputs, place, started)
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
    began: float,
) -> Started:
    """Makes the directory with the record of what is started in it; with a budget, after its steps were counted.

    `began` is when the budget's seconds did.
    """
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
        spent = time.perf_counter() - began
        plan = plan_within(budget, recipe, samples, spent=spent) if budget is not None else None
        started = Started(
            recipe=given.to_json(),
            budget=budget,
            steps=plan.steps if plan else recipe.steps,
            evaluate_every=plan.work.evaluate_every if plan else recipe.evaluate_every,
            validation_images=plan.work.validation if plan else None,
            calibration_maps=plan.work.calibration_maps if plan else None,
            statistics_batches=plan.work.statistics if plan else None,
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
