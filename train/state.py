"""What a training needs to go on after a kill: one file that is replaced whole, and the record of what was started."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from hardedge.contracts import Contract, Json, SegmentationScore, read_json, to_json, write_atomically
from hardedge.errors import BadInput, faults_error
from hardedge.train.branches import Training

STARTED = "state/run.json"
TRAINING = "state/training.pt"
STATISTICS_BATCHES = 16  # that BatchNorm's statistics are estimated on

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Started(Contract):
    """What a run was started with. `steps` is the recipe's, or what `budget` seconds were found to hold.

    `channels_last` is the recipe's, or what was found to be faster. `inputs` are the digests of the artefacts it reads,
    by name. The last four are what a budget cut to (null: as the recipe has it, all).
    """

    recipe: dict[str, Json]
    budget: float | None
    steps: int
    channels_last: bool
    data_digest: str
    inputs: dict[str, str]
    evaluate_every: int | None = None
    validation_images: int | None = None
    calibration_maps: int | None = None
    statistics_batches: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """An evaluated network: its score, its weights and its branches' (BatchNorm statistics as evaluated).

    `doubts` are those of its Validation.
    """

    step: int
    score: SegmentationScore
    weights: Tensors
    branches: Tensors
    doubts: tuple[str, ...] = ()


@dataclass
class TrainingState:
    """All that changes from step to step, and the `objective` that gives the loss of a batch with the frozen `tools`.

    `average` is that of the weights, if the recipe has one; `unreadable` says how often each image was skipped.
    Random numbers are no part of it: each step is seeded by its own number.
    """

    training: Training
    objective: nn.Module
    optimiser: Optimizer
    scaler: GradScaler
    tools: dict[str, nn.Module]
    average: Training | None = None
    step: int = 0
    seconds: float = 0.0
    unreadable: dict[str, int] = field(default_factory=dict)
    best: Snapshot | None = None
    statistics: int = STATISTICS_BATCHES


def write_started(out: Path, started: Started) -> None:
    (out / STARTED).parent.mkdir(exist_ok=True)
    write_atomically(out / STARTED, to_json(started).encode())


def read_started(out: Path) -> Started:
    """Raises BadInput when nothing was started there."""
    if not (out / STARTED).is_file():
        raise BadInput(f"{out} has no {STARTED}: nothing to resume. Start the training without --resume.")
    return read_json(Started, out / STARTED)


def require_same(
    started: Started, recipe: dict[str, Json], data_digest: str, inputs: dict[str, str], out: Path
) -> None:
    """Raises BadInput naming every field of the recipe, and the data, where they are not what was started with."""
    keys = dict.fromkeys((*started.recipe, *recipe))
    faults = [
        f"{key}: {json.dumps(recipe.get(key))} now, {json.dumps(started.recipe.get(key))} then"
        for key in keys
        if recipe.get(key) != started.recipe.get(key)
    ]
    if data_digest != started.data_digest:
        faults.append("data: other files, splits or classes than then")
    faults += [
        f"{name.replace('_', ' ')}: not those of then"
        for name in sorted(inputs.keys() | started.inputs.keys())
        if inputs.get(name) != started.inputs.get(name)
    ]
    if faults:
        raise faults_error(
            f"{out} was started with another recipe", faults, "Resume with the same, or give another --out."
        )


def save_state(out: Path, state: TrainingState) -> None:
    """Replaces the state on disk as a whole."""
    payload = {
        "model": state.training.model.state_dict(),
        "branches": state.training.branches.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict(),
        "average": state.average.state_dict() if state.average is not None else None,
        "step": state.step,
        "seconds": state.seconds,
        "unreadable": state.unreadable,
        "best": _record(state.best) if state.best else None,
    }
    buffer = io.BytesIO()  # torch.save on a path turns a full disk into a RuntimeError without a reason
    torch.save(payload, buffer)
    write_atomically(out / TRAINING, buffer.getvalue())


def stored_state(out: Path) -> bytes | None:
    """The state on disk; None when none was stored yet."""
    return (out / TRAINING).read_bytes() if (out / TRAINING).is_file() else None


def load_state(out: Path, stored: bytes, state: TrainingState) -> None:
    """Reads the state that was stored in `out` into the freshly built one."""
    try:
        payload: Mapping[str, Any] = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one cause
        raise BadInput(f"{out / TRAINING} cannot be read ({error}). Start again with --force.") from None
    state.training.model.load_state_dict(payload["model"])
    state.training.branches.load_state_dict(payload["branches"])
    state.optimiser.load_state_dict(payload["optimiser"])
    state.scaler.load_state_dict(payload["scaler"])
    if state.average is not None:
        state.average.load_state_dict(payload["average"])
    state.step, state.seconds = payload["step"], payload["seconds"]
    state.unreadable = payload["unreadable"]
    state.best = _snapshot(payload["best"]) if payload["best"] else None


def _record(snapshot: Snapshot) -> dict[str, Any]:
    record = {each.name: getattr(snapshot, each.name) for each in fields(snapshot)}
    return record | {"score": asdict(snapshot.score)}


def _snapshot(record: dict[str, Any]) -> Snapshot:
    return Snapshot(**record | {"score": SegmentationScore(**record["score"])})


def detached_copy(tensors: Mapping[str, Tensor]) -> Tensors:
    """A state dict's values as they are now, contiguous, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
