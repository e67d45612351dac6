"""What a training is: one frozen value that prints, compares, and goes into the checkpoint whole."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from hardedge.contracts import Contract, Json
from hardedge.data.dataset import Labels
from hardedge.errors import BadInput, faults_error
from hardedge.models import architecture
from hardedge.train.branches import (
    BRANCH_NAMES,
    AuxiliaryBranch,
    BranchConfig,
    FeatureBranch,
    NamedBranch,
)
from hardedge.train.losses import CrossEntropy, LossSum, Semeda, Term, parse_loss

IGNORED = 255  # the label of pixels that do not count, in every training batch and whatever the data set's own


PLAIN = LossSum((Term(1.0, CrossEntropy()),))


def _loss(value: Any) -> LossSum:
    if isinstance(value, str):
        return parse_loss(value)
    raise ValueError('expected a loss such as "ce + 0.5*cpg"')


@dataclass(frozen=True, kw_only=True)
class Recipe(Contract):
    """One training. Sizes are (height, width) in pixels, `scale` a range of factors on the image's own size.

    A crop is drawn again, at most ten times, while one class fills `crop_share` of its labelled pixels or more (1: it
    is not). `flip` is a probability; brightness, contrast, saturation and hue are jitter strengths (0: none), as
    torchvision has them, and `jitter` is the probability of each. `keep` says which evaluation's weights ship, `labels`
    which of the data set's folders is trained on; validation is always on its masks.

    `pretrained` starts the backbone from its library's ImageNet weights. `auxiliary_loss` is what each auxiliary head
    has, times `auxiliary_weight`.

    The learning rate falls to `final_rate` at the last step, as a power of the steps left; over the first `warm_up`
    steps it rises to that curve from a tenth of it.

    `batch` is that of a step: over all processes that train together, and over the `accumulate` parts in which each of
    them takes its share. `ema` is the decay of an average of the weights that ships in their place (0: none). `amp` is
    mixed precision in float16 where there is a GPU; with `bfloat16` it is in that, on a CPU too. `skip_unreadable`
    takes the next image of the epoch for one that cannot be read, instead of stopping. `channels_last` is the order of
    tensors in memory; "auto" measures at the start which one is faster, and the checkpoint says which. With `qat` the
    network imitates that precision while it learns.
    """

    name: str
    network: str
    pretrained: bool = False
    loss: Annotated[LossSum, PlainValidator(_loss), PlainSerializer(str)]
    branches: tuple[Annotated[NamedBranch, Field(discriminator="kind")], ...] = ()
    auxiliary: bool = False
    auxiliary_weight: float = 0.4
    auxiliary_loss: Annotated[LossSum, PlainValidator(_loss), PlainSerializer(str)] = PLAIN
    optimiser: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    poly_power: float = 0.9
    final_rate: float = 0.0
    warm_up: int = 0
    steps: int
    batch: int
    crop: tuple[int, int]
    crop_share: float = 1.0
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter: float = 1.0
    evaluate_every: int
    keep: Literal["best", "last"] = "best"
    labels: Labels = "masks"
    seed: int = 0
    accumulate: int = 1
    sync_batchnorm: bool = True
    ema: float = 0.0
    amp: bool = True
    bfloat16: bool = False
    channels_last: bool | Literal["auto"] = False
    compile: bool = False
    fused: bool = True
    skip_unreadable: bool = False
    qat: Literal["", "int8"] = ""
    workers: int = 0

    def to_json(self) -> dict[str, Json]:
        """The recipe as JSON values, its loss as the string that parses back to it."""
        record: dict[str, Json] = json.loads(TypeAdapter(Recipe).dump_json(self))
        return record

    @classmethod
    def from_json(cls, record: dict[str, Json], name: str = "recipe") -> Recipe:
        """Reads `to_json`'s values strictly; raises BadInput with every unknown key and wrong type under `name`."""
        try:
            return TypeAdapter(cls).validate_json(json.dumps(record), strict=True)
        except ValidationError as error:
            faults = [f"{_field(fault['loc'])}: {fault['msg']}, got {fault['input']!r}" for fault in error.errors()]
        raise faults_error(f"{name} is not a recipe", faults, "Change these fields.")

    @property
    def edge_network(self) -> Path | None:
        """The directory of the edge network that the loss reads, if it does."""
        return next((Path(term.loss.network) for term in self.loss.terms if isinstance(term.loss, Semeda)), None)

    def parts(self) -> tuple[BranchConfig, ...]:
        """Everything that stands beside the network in training and does not ship.

        Features go to a loss that accepts them where the network is known to have them.
        """
        features = "features" in self.loss.accepts and architecture(self.network) is not None
        auxiliary = (AuxiliaryBranch(),) if self.auxiliary else ()
        return (*self.branches, *auxiliary, *((FeatureBranch(),) if features else ()))


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def require_usable(recipe: Recipe, *, hardness_maps: bool = False, processes: int = 1) -> None:
    """Raises BadInput with every fault of the recipe, before anything is built.

    `hardness_maps` says that the loss's hardness comes from stored maps instead of a branch; `processes` is how many
    train together.
    """
    faults = _part_faults(recipe, hardness_maps) + _loss_faults(recipe.loss) + _number_faults(recipe)
    faults += _share_faults(recipe, processes)
    if faults:
        raise faults_error(f"recipe {recipe.name} cannot be used", faults, "Change these fields of the recipe.")


def _loss_faults(loss: LossSum) -> list[str]:
    faults = {
        f"""loss "{loss}": semeda needs an edge network. Train one with `hardedge edges`: semeda(network='DIR')""": any(
            isinstance(term.loss, Semeda) and not term.loss.network for term in loss.terms
        ),
        f'loss "{loss}": no term counts from the first step on': all(term.start > 0 for term in loss.terms),
        f'loss "{loss}": ignore_index must be {IGNORED}, the value of ignored pixels in every training batch': any(
            vars(term.loss).get("ignore_index", IGNORED) != IGNORED for term in loss.terms
        ),
    }
    return [fault for fault, found in faults.items() if found]


# for each output of a branch that losses may need: what one is called, and several, and how a recipe asks for it
OUTPUTS = {
    "hardness": ("hardness branch", "hardness branches", "light"),
    "boundary": ("boundary head", "boundary heads", "boundary_head"),
    "detail": ("detail head", "detail heads", "detail_head"),
}


def _part_faults(recipe: Recipe, hardness_maps: bool) -> list[str]:
    needs = recipe.loss.needs
    try:
        ours = architecture(recipe.network)
    except BadInput as error:
        return [f"network: {error}"]
    given = [BRANCH_NAMES[type(branch)] for branch in recipe.branches]
    faults = [fault for name in OUTPUTS for fault in _branch_faults(recipe, name, given.count(name), hardness_maps)]
    if hardness_maps and "hardness" in given:
        faults.append("branches has a hardness branch, and hardness maps are given too: set branches=")
    if hardness_maps and "hardness" not in needs:
        faults.append(f'hardness maps are given, which loss "{recipe.loss}" does not use: leave them out')
    if recipe.auxiliary and (not ours or not ours.auxiliary):
        faults.append(f"auxiliary: {recipe.network} has no auxiliary head")
    if recipe.auxiliary_loss.needs != ("logits",):
        faults.append(
            f'auxiliary_loss "{recipe.auxiliary_loss}": an auxiliary head gives logits alone, as ce needs them'
        )
    return faults


def _branch_faults(recipe: Recipe, name: str, count: int, hardness_maps: bool) -> list[str]:
    """What speaks against the branches with that output: needed and not there, there and not needed, several."""
    called, several, spec = OUTPUTS[name]
    faults = []
    if name in recipe.loss.needs and not count and not (hardness_maps and name == "hardness"):
        there = "branches has none" if recipe.branches else "branches is empty"
        kinds = ",".join([*(branch.kind for branch in recipe.branches), spec])
        faults.append(f'loss "{recipe.loss}" needs a {called}, and {there}: set branches={kinds}')
    if name not in recipe.loss.needs and count:
        faults.append(f'branches has a {called}, which loss "{recipe.loss}" does not use: set branches=')
    if count > 1:
        faults.append(f"branches: {count} {several}, expected at most one")
    return faults


def _clashes(recipe: Recipe) -> bool:
    """The ranges of quantised tensors are not averaged, and their quantisers do not compile."""
    return bool(recipe.qat) and (recipe.compile or recipe.ema > 0)


def _share_faults(recipe: Recipe, processes: int) -> list[str]:
    if recipe.accumulate < 1:
        return [f"accumulate: expected 1 or more, got {recipe.accumulate}"]
    parts = processes * recipe.accumulate
    divided = f"{processes} process(es) x accumulate {recipe.accumulate}"
    if recipe.batch % parts:
        return [f"batch: {recipe.batch} is no multiple of {divided}"]
    if recipe.batch < 2 * parts:
        reason = "BatchNorm over one image of 1x1 features has no variance"
        return [f"batch: expected {2 * parts} or more, 2 for each of {divided} ({reason}), got {recipe.batch}"]
    return []


def _number_faults(recipe: Recipe) -> list[str]:
    low, high = recipe.scale
    expected = {
        "optimiser": ("sgd or adamw", recipe.optimiser in ("sgd", "adamw")),
        "keep": ("best or last", recipe.keep in ("best", "last")),
        "learning_rate": ("a positive number", 0 < recipe.learning_rate < math.inf),
        "momentum": ("0 to below 1", 0 <= recipe.momentum < 1),
        "weight_decay": ("0 or more", 0 <= recipe.weight_decay < math.inf),
        "poly_power": ("0 or more", 0 <= recipe.poly_power < math.inf),
        "final_rate": ("0 to learning_rate", 0 <= recipe.final_rate <= recipe.learning_rate),
        "warm_up": ("0 or more", recipe.warm_up >= 0),
        "auxiliary_weight": ("0 or more", 0 <= recipe.auxiliary_weight < math.inf),
        "steps": ("1 or more", recipe.steps >= 1),
        "crop": ("a height and a width of 32 or more", len(recipe.crop) == 2 and min(recipe.crop) >= 32),
        "crop_share": ("above 0, at most 1", 0 < recipe.crop_share <= 1),
        "scale": ("0 < smallest <= largest", 0 < low <= high < math.inf),
        "flip": ("0 to 1", 0 <= recipe.flip <= 1),
        "brightness": ("0 or more", 0 <= recipe.brightness < math.inf),
        "contrast": ("0 or more", 0 <= recipe.contrast < math.inf),
        "saturation": ("0 or more", 0 <= recipe.saturation < math.inf),
        "hue": ("0 to 0.5", 0 <= recipe.hue <= 0.5),
        "jitter": ("0 to 1", 0 <= recipe.jitter <= 1),
        "evaluate_every": ("1 or more", recipe.evaluate_every >= 1),
        "seed": ("0 or more", recipe.seed >= 0),
        "ema": ("0 to below 1", 0 <= recipe.ema < 1),
        "bfloat16": ("false, or true with amp: it is mixed precision", recipe.amp or not recipe.bfloat16),
        "channels_last": ("true, false or auto", recipe.channels_last in (True, False, "auto")),
        "workers": ("0 or more", recipe.workers >= 0),
        "qat": ("int8 or nothing, without ema and compile", recipe.qat in ("", "int8") and not _clashes(recipe)),
    }
    return [
        f"{field}: expected {what}, got {getattr(recipe, field)}"
        for field, (what, holds) in expected.items()
        if not holds
    ]
