"""The loop: a step, its learning rate and its loss; every so often an evaluation and the stored state."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import SGD, AdamW, Optimizer

from hardedge.console import note
from hardedge.contracts import NetworkSpec, SegmentationScore, Task, write_atomically
from hardedge.errors import BadInput
from hardedge.models import build_network
from hardedge.models.pretrained import load_backbone
from hardedge.train import processes
from hardedge.train.batches.epoch_order import mix_seed
from hardedge.train.batches.samples import TrainingSample, TrainingSamples, training_batches
from hardedge.train.branches import Training, attach_branches
from hardedge.train.edge_network import load_edge_network
from hardedge.train.evaluation import (
    Validation,
    average_buffers,
    device_of,
    needs_reestimation,
    synchronise_batchnorm,
    validate,
    with_reestimated_batchnorm,
)
from hardedge.train.initial_weights import InitialWeights, load_trained
from hardedge.train.objective import (
    Objective,
    frozen_copy,
    gradients_unshared,
    require_compiler,
    scales_gradients,
    update_average,
)
from hardedge.train.progress import Log, TrainingLog
from hardedge.train.quantisation import plain_state, quantise
from hardedge.train.recipe import Recipe
from hardedge.train.state import STATISTICS_BATCHES, Snapshot, TrainingState, detached_copy, save_state
from hardedge.train.tracking import Followers

WARM_UP_FROM = 0.1
LAST_WEIGHTS = "last.safetensors"


def new_state(recipe: Recipe, task: Task, start: InitialWeights | None = None) -> TrainingState:
    """The network with its branches and optimiser before the first step, from the recipe's seed; on the GPU if any.

    Raises BadInput for a network that cannot be built or weights that do not fit its backbone, Unavailable where the
    recipe wants a compiler and there is none.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spec = NetworkSpec(name=recipe.network, num_classes=task.num_classes)
    torch.manual_seed(recipe.seed)
    network = build_network(spec)
    if start and start.backbone:
        _tell(load_backbone(network, spec.name, start.backbone))
    training = attach_branches(network, spec, recipe.parts()).to(device)
    if start and start.checkpoint:
        _tell(load_trained(training, start.checkpoint))
    if recipe.channels_last is True:
        training.to(memory_format=torch.channels_last)
    if recipe.sync_batchnorm and device.type == "cuda" and processes.process_count() > 1:
        synchronise_batchnorm(training)
    if recipe.compile:
        require_compiler(device)
    tools = _tools(recipe, task, device)
    return TrainingState(
        training,
        Objective(training, recipe, tools),
        _optimiser(recipe, training),
        GradScaler(device.type, enabled=scales_gradients(recipe, device)),
        tools,
        average=frozen_copy(training) if recipe.ema else None,
    )


def _tell(message: str) -> None:
    if processes.is_rank_zero():
        note(message)


def quantise_state(state: TrainingState, recipe: Recipe, samples: TrainingSamples) -> TrainingState:
    """The state with its network in the recipe's `qat`, if it has one; ranges from the first batches."""
    if recipe.qat:
        quantise(state.training.model, (batch.image for batch in statistics_batches(state.training, recipe, samples)))
    return state


def _tools(recipe: Recipe, task: Task, device: torch.device) -> dict[str, nn.Module]:
    directory = recipe.edge_network
    return {"edge_network": load_edge_network(directory, task).to(device)} if directory else {}


def _optimiser(recipe: Recipe, training: Training) -> Optimizer:
    rate, decay, momentum = recipe.learning_rate, recipe.weight_decay, recipe.momentum
    if recipe.optimiser == "sgd":
        optimiser = SGD(training.parameters(), rate, momentum, weight_decay=decay, fused=recipe.fused)
        for parameter in training.parameters():
            # of zeros, as the first step would make it: torch's fused step fails where only some have one yet, as the
            # parameters of a term that starts late
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimiser
    return AdamW(training.parameters(), rate, (momentum, 0.999), weight_decay=decay, fused=recipe.fused)


def run_steps(state: TrainingState, recipe: Recipe, samples: TrainingSamples, out: Path, followers: Followers) -> None:
    """Trains from the state's step to the recipe's last; each evaluation stores the state, so a kill loses little."""
    device = device_of(state.training)
    before = state.seconds
    started = time.perf_counter()
    first = state.step
    with TrainingLog(out, followers, first=first, steps=recipe.steps) if processes.is_rank_zero() else Log() as log:
        for batch in training_batches(samples, recipe, device, first=first, last=recipe.steps):
            terms = training_step(state, recipe, batch)
            log.step(state.step, terms, learning_rate(recipe, state.step - 1))
            _count_unreadable(state, batch, log)
            if state.step % recipe.evaluate_every == 0 or state.step == recipe.steps:
                log.evaluation(state.step, evaluate(state, recipe, samples, out), terms)
                state.seconds = before + time.perf_counter() - started
                processes.on_rank_zero(lambda: save_state(out, state))


def _count_unreadable(state: TrainingState, batch: TrainingSample, log: Log) -> None:
    if not batch.unreadable:
        return
    images = dict(batch.unreadable)
    log.unreadable(state.step, images, new=[id for id in images if id not in state.unreadable])
    for id, _ in batch.unreadable:
        state.unreadable[id] = state.unreadable.get(id, 0) + 1


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate at a step counted from 0: the poly schedule, falling to final_rate at recipe.steps.

    During the warm-up it is that times a factor that rises linearly from WARM_UP_FROM to 1.
    """
    fall = recipe.learning_rate - recipe.final_rate
    rate = recipe.final_rate + fall * float((1 - step / recipe.steps) ** recipe.poly_power)
    if step >= recipe.warm_up:
        return rate
    return rate * (WARM_UP_FROM + (1 - WARM_UP_FROM) * step / recipe.warm_up)


def training_step(state: TrainingState, recipe: Recipe, batch: TrainingSample) -> dict[str, float]:
    """One step of the optimiser with this process's share of the step's batch; the loss and its unweighted terms.

    These are means over the processes and the parts of the batch, by name. Raises BadInput when they are not finite.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    terms = _gradients(state, recipe, batch)
    _require_finite(terms, state, batch.ids)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    if state.average is not None:
        update_average(state.average, state.training, recipe.ema, state.step)
    state.step += 1
    return terms


def _gradients(state: TrainingState, recipe: Recipe, batch: TrainingSample) -> dict[str, float]:
    """Adds up the gradients of the batch's parts, one forward and backward each; the mean of their terms by name."""
    parts = batch.parts(recipe.accumulate)
    values = []
    for place, part in enumerate(parts):
        torch.manual_seed(_dropout_seed(recipe, state.step, processes.process_rank() * len(parts) + place))
        if place < len(parts) - 1:
            with gradients_unshared(state.objective):
                values.append(_backward(state, recipe, part))
        else:
            values.append(_backward(state, recipe, part))
    mean = processes.mean_over_processes(torch.stack([torch.stack(list(each.values())) for each in values]).mean(0))
    return dict(zip(values[0], mean.tolist(), strict=True))


def _backward(state: TrainingState, recipe: Recipe, part: TrainingSample) -> dict[str, Tensor]:
    total, terms = state.objective(part, state.step / recipe.steps)
    state.scaler.scale(total / recipe.accumulate).backward()
    return {name: value.detach().double() for name, value in {"loss": total, **terms}.items()}


def _dropout_seed(recipe: Recipe, step: int, share: int) -> int:
    """Another one for each share of the batch; the first is that of the whole batch in one process."""
    return mix_seed(recipe.seed, "step", step, *((share,) if share else ()))


def _require_finite(told: Mapping[str, float], state: TrainingState, ids: Sequence[str] = ()) -> None:
    if all(math.isfinite(value) for value in told.values()):
        return
    values = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
    everyones = [id for each in processes.gather(tuple(ids)) for id in each]
    images = f" on the images {', '.join(everyones)}" if everyones else ""
    processes.raise_on_all(
        BadInput(
            f"step {state.step}: the loss is not finite ({values}){images}. The last stored state is kept. "
            "Train again with a lower learning_rate."
        )
    )


def _not_finite(training: Training) -> dict[str, float]:
    return {f"weight {name}": math.nan for name, value in training.named_parameters() if not value.isfinite().all()}


def evaluate(state: TrainingState, recipe: Recipe, samples: TrainingSamples, out: Path) -> SegmentationScore:
    """Validates the network as it would ship, writes it to last.safetensors, keeps it in the state if it is best."""
    average_buffers(state.training)
    training = shipped_weights(state)
    _require_finite(_not_finite(training), state)
    with shipping_statistics(training, recipe, samples, state.statistics):
        found = validate(training.model, samples.dataset)
        processes.on_rank_zero(lambda: _keep(state, recipe, training, found, out))
    return found.score


def shipped_weights(state: TrainingState) -> Training:
    """What would ship now: the average of the weights, with the network's own buffers, where the state has one."""
    if state.average is None:
        return state.training
    for mine, theirs in zip(state.average.buffers(), state.training.buffers(), strict=True):
        mine.copy_(theirs)
    return state.average


def _keep(state: TrainingState, recipe: Recipe, training: Training, found: Validation, out: Path) -> None:
    weights = detached_copy(plain_state(training.model))
    write_atomically(out / LAST_WEIGHTS, safetensors.torch.save(weights))
    if state.best is None or recipe.keep == "last" or found.score.miou > state.best.score.miou:
        branches = detached_copy(training.branches.state_dict())
        state.best = Snapshot(state.step, found.score, weights, branches, found.doubts)


def ships_reestimated(training: Training, recipe: Recipe) -> bool:
    """Whether BatchNorm statistics are estimated anew for evaluation: after a short run, and for averaged weights.

    These have never seen an image: their run is one of 0 steps.
    """
    return needs_reestimation(training, 0 if recipe.ema else recipe.steps)


@contextmanager
def shipping_statistics(training: Training, recipe: Recipe, samples: TrainingSamples, batches: int) -> Iterator[None]:
    """BatchNorm statistics to ship: re-estimated on the first batches where it is needed, else as they ran."""
    if not ships_reestimated(training, recipe):
        yield
        return
    torch.manual_seed(recipe.seed)  # dropout
    with with_reestimated_batchnorm(training, statistics_batches(training, recipe, samples, batches)):
        yield


def statistics_batches(
    training: Training, recipe: Recipe, samples: TrainingSamples, count: int = STATISTICS_BATCHES
) -> Iterator[TrainingSample]:
    """This process's share of the first batches, in the parts that training takes them in."""
    for batch in training_batches(samples, recipe, device_of(training), first=0, last=count):
        yield from batch.parts(recipe.accumulate)
