"""From a batch to its loss in one forward: what is compiled, and what several processes share the gradients of."""

import os
import shutil
import sysconfig
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hardedge.errors import Unavailable, users_code
from hardedge.train import processes
from hardedge.train.batches.samples import TrainingSample, denormalise_pixels
from hardedge.train.branches import Training
from hardedge.train.evaluation import device_of, resize_logits
from hardedge.train.losses import CrossEntropy, LossSum
from hardedge.train.recipe import Recipe

PROBE = (64, 96)


class Objective(nn.Module):
    """A batch's loss at `progress` (0..1) of the training, and its unweighted terms by name.

    One forward as far as the loss, because DistributedDataParallel looks there for the parameters that take part: for
    those of a branch whose term starts later it would wait.
    """

    def __init__(self, training: Training, recipe: Recipe, tools: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.network = torch.compile(training) if recipe.compile else training
        self.recipe = recipe
        self.tools = tools

    def forward(self, batch: TrainingSample, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        image_BCHW = batch.image
        if self.recipe.channels_last is True:
            image_BCHW = image_BCHW.contiguous(memory_format=torch.channels_last)
        with users_code(f"{self.recipe.network} or the loss {self.recipe.loss}"):
            with mixed_precision(self.recipe, image_BCHW.device):
                outputs = self.network(image_BCHW)
            if "image" in self.recipe.loss.needs:
                outputs["image"] = denormalise_pixels(batch.image)
            return step_loss(self.recipe, {**outputs, **batch.beside, **self.tools}, batch.target, progress=progress)


def step_loss(
    recipe: Recipe, outputs: Mapping[str, Any], target_BHW: Tensor, *, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The recipe's loss with the auxiliary heads' losses, and the unweighted terms by name."""
    total, terms = recipe.loss.with_terms(outputs, target_BHW, progress=progress)
    if "auxiliary" not in outputs:
        return total, terms
    score = _auxiliary_loss(recipe)
    size = target_BHW.shape[-2:]
    scores = [score(resize_logits(logits_BChw, size), target_BHW) for logits_BChw in outputs["auxiliary"]]
    auxiliary = torch.stack(scores).sum()
    return total + recipe.auxiliary_weight * auxiliary, terms | {"auxiliary": auxiliary.detach()}


def _auxiliary_loss(recipe: Recipe) -> LossSum:
    """The auxiliary heads' loss; its cross-entropy counts over all processes where a term of the main loss does."""
    sync = any(getattr(term.loss, "sync", False) for term in recipe.loss.terms)
    terms = [
        replace(term, loss=replace(term.loss, sync=True)) if sync and isinstance(term.loss, CrossEntropy) else term
        for term in recipe.auxiliary_loss.terms
    ]
    return LossSum(tuple(terms))


def mixed_precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    """bfloat16 on any device where the recipe has it, else float16 on a GPU; float32 alone without `amp`."""
    if recipe.bfloat16:
        return torch.autocast(device.type, torch.bfloat16, enabled=recipe.amp)
    return torch.autocast(device.type, torch.float16, enabled=scales_gradients(recipe, device))


def scales_gradients(recipe: Recipe, device: torch.device) -> bool:
    """Whether gradients are in float16, which cannot hold small ones unscaled."""
    return recipe.amp and not recipe.bfloat16 and device.type == "cuda"


def require_compiler(device: torch.device) -> None:
    """Raises Unavailable where what torch.compile calls is missing.

    That is a C++ compiler; for a GPU Triton, which compiles its kernels' launchers in C with Python's headers.
    """
    if device.type == "cpu":
        _require_program("CXX", "g++")
    if device.type != "cuda":
        return
    if find_spec("triton") is None:
        raise Unavailable("compile: torch.compile needs triton. Add it with: pip install triton, or set compile=false.")
    _require_program("CC", "gcc", "clang")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        raise Unavailable(
            "compile: triton needs Python.h, which is not there. Add it with: apt-get install python3-dev, "
            "or set compile=false."
        )


def _require_program(variable: str, *usual: str) -> None:
    """One of the usual compilers, or the one that the variable names."""
    named = os.environ.get(variable)
    known = (named,) if named else usual
    if not any(shutil.which(name) for name in known):
        raise Unavailable(
            f"compile: torch.compile needs {' or '.join(known)}, which is not there. Install it, or set compile=false."
        )


def share_gradients(objective: nn.Module, training: Training, recipe: Recipe) -> nn.Module:
    """The objective with its gradients averaged over the processes that train together, if there are several."""
    if processes.process_count() == 1:
        return objective
    late = any(term.start > 0 for term in recipe.loss.terms)
    return DistributedDataParallel(
        objective,
        gradient_as_bucket_view=True,
        find_unused_parameters=late or bool(unused_parameters(training)),
    )


def unused_parameters(training: Training) -> list[str]:
    """The names of the parameters that no output depends on."""
    modes = [(module, module.training) for module in training.modules()]
    training.eval()  # batch statistics must not see the probe
    try:
        outputs = training(torch.zeros(2, 3, *PROBE, device=device_of(training)))
    finally:
        for module, mode in modes:
            module.training = mode
    used: set[int] = set()
    pending = [output.grad_fn for output in outputs.values() if output.requires_grad]
    seen = set(pending)
    while pending:
        node = pending.pop()
        used.add(id(getattr(node, "variable", None)))  # where a gradient ends in a parameter
        following = {each for each, _ in node.next_functions if each is not None} - seen
        seen |= following
        pending += following
    return [name for name, value in training.named_parameters() if value.requires_grad and id(value) not in used]


def gradients_unshared(objective: nn.Module) -> AbstractContextManager[None]:
    """While the block runs gradients add up in this process alone."""
    return objective.no_sync() if isinstance(objective, DistributedDataParallel) else nullcontext()


def frozen_copy(training: Training) -> Training:
    """A copy without gradients, to average weights in."""
    return deepcopy(training).requires_grad_(False)


def update_average(average: Training, training: Training, decay: float, step: int) -> None:
    """Moves the average towards the weights: average = d average + (1 - d) weights.

    d is decay, at first (1 + step) / (10 + step), so that the start is forgotten also in a short run.
    """
    warm = min(decay, (1 + step) / (10 + step))
    move = get_ema_multi_avg_fn(warm)  # type: ignore[no-untyped-call]  # torch's own
    move(list(average.parameters()), list(training.parameters()), None)
