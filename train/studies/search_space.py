"""What a sweep varies: fields of the recipe from text, as values to go through or a range to propose from."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hardedge.errors import HardedgeError, faults_error
from hardedge.train.branches import HardnessBranch
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.recipes.settings import with_settings
from hardedge.train.studies.study import Params

NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")
INTEGER = re.compile(r"[+-]?\d+")
OWN_OPTION = {"loss": "--loss", "seed": "--seeds and --first-seed", "name": "--out"}


@dataclass(frozen=True)
class SearchSpace:
    """What each parameter may be, `loss` among them: values in their order, or a range."""

    distributions: Mapping[str, BaseDistribution]

    def points(self) -> Iterator[Params]:
        """Every combination of the values, in order; of a range its ends."""
        names = list(self.distributions)
        for values in itertools.product(*map(_values, self.distributions.values())):
            yield dict(zip(names, values, strict=True))


def parse_search_space(losses: Sequence[str], vary: Mapping[str, str], *, ranges: bool) -> SearchSpace:
    """The parameters of --loss and --vary, whose texts are values, `A|B`, or ranges, `LOW..HIGH` and `LOW..HIGH:log`.

    Raises BadInput for a field that has an option of its own, a value that is there twice, a range that is empty, and
    for one where `ranges` are not allowed.
    """
    faults = [f"{field}: give it as {OWN_OPTION[field]}" for field in vary if field in OWN_OPTION]
    faults += [f"{field}: {fault}" for field, text in vary.items() if (fault := _fault(text, ranges))]
    if len(set(losses)) < len(losses):
        faults.append(f"--loss: {', '.join(losses)}: one of them is there twice")
    if faults:
        raise faults_error(
            "this cannot be varied", faults, "Write --vary FIELD='A|B', or FIELD=LOW..HIGH for a sampler."
        )
    losses_there = {"loss": CategoricalDistribution(tuple(losses))} if losses else {}
    return SearchSpace(losses_there | {field: _distribution(text) for field, text in vary.items()})


def _fault(text: str, ranges: bool) -> str | None:
    match = RANGE.fullmatch(text.strip())
    if match is None:
        values = [value.strip() for value in text.split("|")]
        return f"{text!r} has a value twice" if len(set(values)) < len(values) else None
    low, high, log = float(match[1]), float(match[2]), bool(match[3])
    if not ranges:
        return f"{text} is a range, and a grid goes through values: give some, or a --sampler"
    if not low < high < math.inf or (log and low <= 0):
        return f"{text} is no range{' on a logarithmic scale' if log else ''}"
    return None


def _distribution(text: str) -> BaseDistribution:
    match = RANGE.fullmatch(text.strip())
    if match is None:
        return CategoricalDistribution(tuple(value.strip() for value in text.split("|")))
    log = bool(match[3])
    if INTEGER.fullmatch(match[1]) and INTEGER.fullmatch(match[2]):
        return IntDistribution(int(match[1]), int(match[2]), log=log)
    return FloatDistribution(float(match[1]), float(match[2]), log=log)


def _values(distribution: BaseDistribution) -> tuple[object, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)


def recipe_at(recipe: Recipe, point: Params, seed: int) -> Recipe:
    """The recipe with a point's parameters and a seed.

    The hardness branch follows the loss: the recipe's own, else a light one, where the loss needs it; none where not.
    """
    settings = {field: str(value) for field, value in point.items()}
    there = replace(with_settings(recipe, settings, f"recipe {recipe.name}"), seed=seed)
    others = tuple(branch for branch in there.branches if not isinstance(branch, HardnessBranch))
    if "hardness" not in there.loss.needs:
        return replace(there, branches=others)
    own = tuple(branch for branch in there.branches if isinstance(branch, HardnessBranch))
    return replace(there, branches=(*(own or (HardnessBranch(kind="light"),)), *others))


def usable_points(recipe: Recipe, there: SearchSpace, seed: int) -> list[Params]:
    """The combinations that are trainings of their own: of equal ones the first.

    Raises BadInput with the faults of all that cannot be trained.
    """
    faults: dict[str, None] = {}
    found: dict[str, Params] = {}
    for point in there.points():
        try:
            made = recipe_at(recipe, point, seed)
            require_usable(made)
        except HardedgeError as error:
            faults[f"{point_text(point)}: {error}"] = None
            continue
        found.setdefault(str(made), point)
    if faults:
        raise faults_error(
            "not every training of the sweep is possible", list(faults), "Change --loss, --vary or --set."
        )
    return list(found.values())


def point_text(point: Params) -> str:
    """A point in a line: its loss, then its other parameters."""
    told = [str(point["loss"])] if "loss" in point else []
    told += [f"{name}={_text(value)}" for name, value in point.items() if name != "loss"]
    return ", ".join(told) or "as the recipe says"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
