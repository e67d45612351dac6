"""The loop: a step, its learning rate and its loss; every so often an evaluation and the stored state."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import SGD, AdamW, Optimizer

from hardedge.contracts import NetworkSpec, SegmentationScore, Task, write_atomically
from hardedge.errors import BadInput
from hardedge.models import build_network
from hardedge.train.branches import Training, attach
from hardedge.train.evaluation import at_size, device_of, needs_reestimation, reestimated_batchnorm, validate
from hardedge.train.losses import CrossEntropy
from hardedge.train.progress import TrainingLog
from hardedge.train.recipe import Recipe
from hardedge.train.samples import Sample, TrainingSamples, denormalised, seed_of, training_batches
from hardedge.train.state import Snapshot, TrainingState, detached_copy, save_state

STATISTICS_BATCHES = 16
LAST_WEIGHTS = "last.safetensors"


def new_state(recipe: Recipe, task: Task) -> TrainingState:
    """The network with its branches and optimiser before the first step, from the recipe's seed; on the GPU if any."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spec = NetworkSpec(name=recipe.network, num_classes=task.num_classes)
    torch.manual_seed(recipe.seed)
    training = attach(build_network(spec), spec, recipe.parts()).to(device)
    scaler = GradScaler(device.type, enabled=recipe.amp and device.type == "cuda")
    tools: dict[str, nn.Module] = {}
    return TrainingState(training, _optimiser(recipe, training), scaler, tools)


def _optimiser(recipe: Recipe, training: Training) -> Optimizer:
    rate, decay, momentum = recipe.learning_rate, recipe.weight_decay, recipe.momentum
    if recipe.optimiser == "sgd":
        return SGD(training.parameters(), rate, momentum, weight_decay=decay, fused=True)
    return AdamW(training.parameters(), rate, (momentum, 0.999), weight_decay=decay, fused=True)


def fit(state: TrainingState, recipe: Recipe, samples: TrainingSamples, out: Path) -> None:
    """Trains from the state's step to the recipe's last; each evaluation stores the state, so a kill loses little."""
    device = device_of(state.training)
    before = state.seconds
    started = time.perf_counter()
    with TrainingLog(out, first=state.step, steps=recipe.steps) as log:
        for batch in training_batches(samples, recipe, device, first=state.step, last=recipe.steps):
            terms = training_step(state, recipe, batch)
            log.step(state.step, terms, learning_rate(recipe, state.step - 1))
            if state.step % recipe.evaluate_every == 0 or state.step == recipe.steps:
                log.evaluation(state.step, evaluate(state, recipe, samples, out), terms)
                state.seconds = before + time.perf_counter() - started
                save_state(out, state)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The poly schedule: the rate at a step counted from 0, falling to 0 at recipe.steps."""
    return recipe.learning_rate * float((1 - step / recipe.steps) ** recipe.poly_power)


def training_step(state: TrainingState, recipe: Recipe, batch: Sample) -> dict[str, float]:
    """One step of the optimiser; the loss and its unweighted terms by name. Raises BadInput when it is not finite."""
    torch.manual_seed(seed_of(recipe.seed, "step", state.step))
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    with torch.autocast(batch.image.device.type, torch.float16, enabled=state.scaler.is_enabled()):
        outputs = state.training(batch.image)
    if "image" in recipe.loss.needs:
        outputs["image"] = denormalised(batch.image)
    total, terms = step_loss(
        recipe, outputs | batch.beside | state.tools, batch.target, progress=state.step / recipe.steps
    )
    told = {"loss": total.item()} | {name: term.item() for name, term in terms.items()}
    _require_finite(told, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    state.scaler.scale(total).backward()  # type: ignore[no-untyped-call]  # torch's own
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.step += 1
    return told


def step_loss(
    recipe: Recipe, outputs: Mapping[str, Any], target_BHW: Tensor, *, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The recipe's loss with the auxiliary head's cross-entropy, and the unweighted terms by name."""
    total, terms = recipe.loss(outputs, target_BHW, progress=progress)
    if "auxiliary" not in outputs:
        return total, terms
    auxiliary = CrossEntropy()(at_size(outputs["auxiliary"], target_BHW.shape[-2:]), target_BHW)
    return total + recipe.auxiliary_weight * auxiliary, terms | {"auxiliary": auxiliary.detach()}


def _require_finite(told: Mapping[str, float], step: int) -> None:
    if all(math.isfinite(value) for value in told.values()):
        return
    values = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
    raise BadInput(
        f"step {step}: the loss is not finite ({values}). The last stored state is kept. "
        "Train again with a lower learning_rate."
    )


def _not_finite(training: Training) -> dict[str, float]:
    return {f"weight {name}": math.nan for name, value in training.named_parameters() if not value.isfinite().all()}


def evaluate(state: TrainingState, recipe: Recipe, samples: TrainingSamples, out: Path) -> SegmentationScore:
    """Validates the network as it would ship, writes it to last.safetensors, keeps it in the state if it is best."""
    training = state.training
    _require_finite(_not_finite(training), state.step)
    with shipping_statistics(training, recipe, samples):
        score = validate(training.model, samples.dataset)
        weights = detached_copy(training.model.state_dict())
        write_atomically(out / LAST_WEIGHTS, safetensors.torch.save(weights))
        if state.best is None or recipe.keep == "last" or score.miou > state.best.score.miou:
            state.best = Snapshot(state.step, score, weights, detached_copy(training.branches.state_dict()))
    return score


@contextmanager
def shipping_statistics(training: Training, recipe: Recipe, samples: TrainingSamples) -> Iterator[None]:
    """BatchNorm statistics to ship: re-estimated on the first 16 batches where the run is short, else as they ran."""
    if not needs_reestimation(training, recipe.steps):
        yield
        return
    torch.manual_seed(recipe.seed)  # dropout
    with reestimated_batchnorm(training, statistics_batches(training, recipe, samples)):
        yield


def statistics_batches(training: Training, recipe: Recipe, samples: TrainingSamples) -> Iterator[Sample]:
    return training_batches(samples, recipe, device_of(training), first=0, last=STATISTICS_BATCHES)
