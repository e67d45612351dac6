"""`hardedge run`: every stage in order, each reading the directory that the one before it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hardedge.artefact import resumable_directory
from hardedge.console import note
from hardedge.contracts import Bundle, Checkpoint, Report, load
from hardedge.data import open_dataset
from hardedge.deploy.stage import (
    BUILT_ONLY,
    DeployPlan,
    build_and_verify,
    declare_output,
    default_targets,
    require_output,
)
from hardedge.deploy.targets import parse_targets
from hardedge.deploy.verification.gates import NO_LIMITS, Gates
from hardedge.errors import BadInput, missing_extra
from hardedge.paths import StrPath, local_path, optional_path

if TYPE_CHECKING:
    from hardedge.train.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What to run."""

    out: Path
    data: Path | None
    recipe: Recipe
    budget: float | None
    targets: tuple[str, ...]
    gates: Gates
    latency: float
    resume: bool


def run(
    out: StrPath,
    *,
    data: StrPath | None = None,
    recipe: Recipe | str | None = None,
    budget: float | None = None,
    targets: Sequence[str] = (),
    gates: Gates = NO_LIMITS,
    latency: float = 15.0,
    resume: bool = False,
    force: bool = False,
) -> Report:
    """Labelled images to verified engines: out/{data,checkpoint,bundle,engines,report}.

    Without `data` the street scenes are drawn. `recipe` is what `hardedge train` takes, by default `streets`, or
    `camvid` with data; `budget` (seconds) replaces its steps by what fits; `latency` is how many seconds are measured.
    Without `targets`, all that can be built here are, and those for other devices are left out of the gates.

    A finished stage is kept when `resume` is given, and training goes on from its last saved step. With `force` an old
    `out` stays until the new one is whole, which is in OUT.next until then. A failure before training has something to
    go on from leaves nothing. Raises the errors of the stages; BadInput when `out` exists and neither resume nor force
    was given.
    """
    out, data = local_path(out), optional_path(data)
    _prepare(out, data, resume=resume, force=force)
    plan = _Plan(
        out=out,
        data=data,
        recipe=_found_recipe(recipe, data),
        budget=budget,
        targets=tuple(target for name in targets for target in parse_targets(name)) or default_targets(),
        gates=gates if targets else gates.over(BUILT_ONLY),
        latency=latency,
        resume=resume,
    )
    if resume:
        return _run_stages(plan)
    with resumable_directory(out, force=force, worth_keeping=_has_training) as place:
        return _run_stages(replace(plan, out=place))


def _found_recipe(recipe: Recipe | str | None, data: Path | None) -> Recipe:
    from hardedge.train.recipes import find_recipe

    if recipe is None:
        recipe = "camvid" if data else "streets"
    return find_recipe(recipe, {}) if isinstance(recipe, str) else recipe


def _run_stages(plan: _Plan) -> Report:
    declare_output(plan.out)
    data = _data(plan)
    _train(plan, data)
    _export(plan, data)
    engines = [(target, "fp32") for target in plan.targets]
    asked = DeployPlan(engines=engines, gates=plan.gates, latency=plan.latency)
    return build_and_verify(asked, plan.out / "bundle", data, plan.out)


def _has_training(out: Path) -> bool:
    return any((out / "checkpoint").glob("state/*.json"))


def _prepare(out: Path, data: Path | None, *, resume: bool, force: bool) -> None:
    if not find_spec("torch"):
        raise missing_extra("torch", "all")
    if data is not None:
        open_dataset(data)
    if resume:
        if not out.is_dir():
            raise BadInput(f"{out} does not exist: nothing to resume. Run without --resume.")
        if data is None and (out / "checkpoint").exists() and not _streets(out).exists():
            raise BadInput(f"{out} was not started on the street scenes. Give its data set again, with --data.")
        return
    require_output(out, force, [data] if data else [])


def _data(plan: _Plan) -> Path:
    from hardedge.data.streets.write import write_streets

    if plan.data is not None:
        return plan.data
    folder = _streets(plan.out)
    if not folder.exists():
        note("1/5 data: drawing the street scenes")
        write_streets(folder)
    return folder


def _streets(out: Path) -> Path:
    return out / "data" / "streets"


def _train(plan: _Plan, data: Path) -> None:
    from hardedge.train.stage import train

    out = plan.out / "checkpoint"
    if (out / Checkpoint.FILE).exists():
        return
    note(f"2/5 train: {plan.recipe.network}, {plan.recipe.loss}")
    train(plan.recipe, data, out, resume=out.exists(), budget=plan.budget)


def _export(plan: _Plan, data: Path) -> None:
    from hardedge.export.stage import export

    if (plan.out / "bundle" / Bundle.FILE).exists():
        return
    note("3/5 export: ONNX, reference masks, identity certificate")
    made = load(Checkpoint, plan.out / "checkpoint")
    allowed = made.network.name == plan.recipe.network  # which is named on this command line
    export(plan.out / "checkpoint", data, plan.out / "bundle", allow_code=allowed)
