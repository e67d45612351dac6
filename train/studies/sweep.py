"""A sweep: seeds x losses x options, trained by as many processes as work on it, and compared seed by seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from statistics import mean
from typing import Literal

from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from torch import distributed

from hardedge.contracts import to_json
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput, faults_error
from hardedge.paths import StrPath, local_paths
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.studies.comparison import Failed, StudyArm, StudyComparison, compare_arms
from hardedge.train.studies.folder import StudyPlan, open_study, require_study_place
from hardedge.train.studies.scores import METRICS
from hardedge.train.studies.search_space import parse_search_space, point_text, recipe_at, usable_points
from hardedge.train.studies.study import Params, Space, Study, StudyJob, Trials, Wanted, params_key
from hardedge.train.studies.trial import TrialSetting, run_trial
from hardedge.train.tracking import require_trackers

RESULT = "result.json"

Sampler = Literal["grid", "random", "tpe"]


@dataclass(frozen=True, kw_only=True)
class SweepPlan(StudyPlan):
    """What is trained: `points` is how many a sampler proposes, 0 for a grid."""

    losses: tuple[str, ...]
    vary: dict[str, str]
    seeds: tuple[int, ...]
    metric: str
    sampler: Sampler
    points: int


def sweep(
    recipe: Recipe,
    data: StrPath,
    out: StrPath,
    *,
    losses: Sequence[str] = (),
    vary: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    metric: str = "miou",
    sampler: Sampler = "grid",
    points: int = 0,
    storage: str | None = None,
    track: Sequence[str] = (),
) -> StudyComparison:
    """Trains every seed with every loss and option, and compares the losses to the first one, seed by seed.

    The same call again, in another process or on another machine that sees `out`, goes on with the sweep or joins it.
    `vary` maps fields of the recipe to values (`A|B`) or, for a sampler, ranges (`LOW..HIGH`, `LOW..HIGH:log`). With a
    sampler of Optuna's, `points` combinations are proposed by their `metric` on the validation split. Each trial is a
    checkpoint under OUT/trials; OUT/result.json is what is returned. Raises BadInput for what cannot be swept, for an
    `out` of another sweep, and when no training came to its end.
    """
    data, out = local_paths((data, out))
    require_alone()
    require_study_place(out)
    require_trackers(track)
    if metric not in METRICS:
        raise BadInput(f"metric {metric} is not known. Give one of: {', '.join(METRICS)}.")
    dataset = open_dataset(data, recipe.labels)
    spelled = tuple(str(parse_loss(loss)) for loss in losses) or (str(recipe.loss),)
    there = parse_search_space(spelled, vary or {}, ranges=sampler != "grid")
    grid = usable_points(recipe, there, seeds[0])
    plan = SweepPlan(
        recipe=recipe.to_json(),
        data_digest=dataset.digest(),
        losses=spelled,
        vary=dict(vary or {}),
        seeds=tuple(seeds),
        metric=metric,
        sampler=sampler,
        points=points,
    )
    bench = TrialSetting(data, dataset, metric, dataset.splits["val"], track)
    space = Space(there.distributions, partial(_sampler_of, sampler))
    with open_study(out, plan, storage, space) as (study, plan):

        def do(job: StudyJob) -> None:
            run_trial(study, job, recipe_at(recipe, job.params, job.seed), bench)

        study.work(partial(_next_wanted, plan, grid), do)
        return _result(plan, recipe, grid, study, out)


def require_alone() -> None:
    """Raises BadInput under torchrun."""
    if distributed.is_torchelastic_launched():
        raise BadInput("a study trains in one process at a time: start several of them with one --out, not torchrun.")


def _sampler_of(name: Sampler, trials: int) -> BaseSampler:
    """Of a seed that is the number of trials: one process alone proposes the same again."""
    return RandomSampler(seed=trials) if name == "random" else TPESampler(seed=trials, constant_liar=True)


def _next_wanted(plan: SweepPlan, grid: Sequence[Params], trials: Trials) -> Wanted | None:
    """The next training: seed by seed, so that what is there can be compared; then a new point, if there may be one."""
    there = {(params_key(trial.params), trial.user_attrs["seed"]) for trial in trials}
    points = _points(plan, grid, trials)
    for seed in plan.seeds:
        for point in points:
            if (params_key(point), seed) not in there:
                return Wanted(dict(point), seed)
    return Wanted(None, plan.seeds[0]) if len(points) < plan.points else None


def _points(plan: SweepPlan, grid: Sequence[Params], trials: Trials) -> Sequence[Params]:
    """Those of the grid; of a sampler, those that it has proposed so far."""
    return (
        grid if plan.sampler == "grid" else list({params_key(trial.params): trial.params for trial in trials}.values())
    )


def _result(plan: SweepPlan, recipe: Recipe, grid: Sequence[Params], study: Study, out: Path) -> StudyComparison:
    trials = study.trials()
    arms = _arms(plan, recipe, grid, trials)
    failed = tuple(failed_trials(trials, point_text))
    result = StudyComparison(study=plan.study, metric=METRICS[plan.metric], rows=compare_arms(arms), failed=failed)
    study.write(RESULT, to_json(result))
    if not result.rows:
        reasons = [f"trial {each.trial} ({each.name}): {each.reason}" for each in failed]
        raise faults_error(
            f"no training of {out} came to its end", reasons, "Mend what they say, and sweep to another --out."
        )
    return result


def _arms(plan: SweepPlan, recipe: Recipe, grid: Sequence[Params], trials: Trials) -> list[StudyArm]:
    """The points in their order, each over the first loss at the same options; those of a sampler by their scores."""
    there = _points(plan, grid, trials)
    over = _baselines(plan, recipe, grid) if plan.sampler == "grid" else {}
    arms = [StudyArm(point_text(point), point, over.get(params_key(point))) for point in there]
    by_key = {params_key(point): arm for point, arm in zip(there, arms, strict=True)}
    for trial in trials:
        if trial.value is not None:
            arm, seed = by_key[params_key(trial.params)], trial.user_attrs["seed"]
            arm.scores[seed], arm.trials[seed] = trial.value, trial.number
    if plan.sampler == "grid":
        return arms
    return sorted(arms, key=lambda arm: -mean(arm.scores.values()) if arm.scores else inf)


def _baselines(plan: SweepPlan, recipe: Recipe, grid: Sequence[Params]) -> dict[str, str]:
    """The name of the point that each one is compared to, by its key.

    That is the first loss at the same options, and for the first loss the first point.
    """
    names = {str(recipe_at(recipe, point, 0)): point_text(point) for point in grid}
    first = grid[0]
    found = {}
    for point in grid[1:]:
        beside = {**point, "loss": first["loss"]} if point["loss"] != first["loss"] else first
        found[params_key(point)] = names[str(recipe_at(recipe, beside, 0))]
    return found


def failed_trials(trials: Trials, name: Callable[[Params], str]) -> Iterator[Failed]:
    """The trials that ended with a reason."""
    for trial in trials:
        if "error" in trial.user_attrs:
            seed, reason = trial.user_attrs["seed"], trial.user_attrs["error"]
            yield Failed(trial=trial.number, name=name(trial.params), seed=seed, reason=reason)
