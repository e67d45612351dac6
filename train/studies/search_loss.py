"""The search for a loss: the curves of auto seg-loss, for a metric, on a user's own data.

Our reading of ASL's search (arXiv 2010.07930): 12 rounds of short proxy trainings, whose reward is the metric on images
that they do not learn from. In place of its truncated-normal policy and PPO, Optuna's multivariate TPE proposes the
curves, and a round is `samples` proposals; the soft metric and the published curves are the first two.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from hardedge.console import note
from hardedge.contracts import to_json
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_paths
from hardedge.train.losses import parse_loss
from hardedge.train.losses.asl import CURVES, PUBLISHED, Asl
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.studies.comparison import FoundLoss, StudyArm, StudyComparison, compare_arms
from hardedge.train.studies.curves_as_shares import (
    curves_from_shares,
    share_distributions,
    shares_from_curves,
    soft_curves,
)
from hardedge.train.studies.folder import StudyPlan, open_study, require_study_place
from hardedge.train.studies.scores import METRICS
from hardedge.train.studies.study import Params, Space, Study, StudyJob, Trials, Wanted
from hardedge.train.studies.sweep import RESULT, failed_trials, require_alone
from hardedge.train.studies.trial import TrialSetting, run_trial

ASL_METRIC = {"miou": "miou", "recall": "macc", "boundary": "bf1"}
BESIDE = {"boundary": "ce + "}  # alone it sees no regions
SEARCH = "search"
ARMS = ("ce", "soft", "published", "found")


@dataclass(frozen=True, kw_only=True)
class SearchPlan(StudyPlan):
    """What is searched for; `seeds` are those of the comparison at the end, the search has the recipe's."""

    metric: str
    rounds: int
    samples: int
    seeds: tuple[int, ...]


def search_loss(
    recipe: Recipe,
    data: StrPath,
    out: StrPath,
    *,
    metric: str = "miou",
    rounds: int = 12,
    samples: int = 8,
    steps: int = 200,
    seeds: int = 3,
    storage: str | None = None,
) -> FoundLoss:
    """Searches the curves with which proxy trainings of `steps` do best, and compares the best to cross-entropy.

    Every second image of the validation split rewards the search; the others, with `seeds` new seeds, judge what it
    found beside cross-entropy, the soft metric and the published curves. The test split is never read. The same call
    again, in another process or on another machine that sees `out`, goes on with the search or joins it. Raises
    BadInput for what cannot be searched, an `out` of another study, and when no proxy came to its end.
    """
    data, out = local_paths((data, out))
    require_alone()
    require_study_place(out)
    dataset = open_dataset(data, recipe.labels)
    validation = dataset.splits["val"]
    if len(validation) < 2:
        raise BadInput(f"{data}: the validation split has {len(validation)} image(s), and a search needs 2 or more.")
    proxy = replace(recipe, steps=steps, evaluate_every=steps, keep="last", branches=(), loss=parse_loss("ce"))
    require_usable(proxy)
    plan = SearchPlan(
        recipe=proxy.to_json(),
        data_digest=dataset.digest(),
        metric=metric,
        rounds=rounds,
        samples=samples,
        seeds=tuple(range(recipe.seed + 1, recipe.seed + 1 + seeds)),
    )
    benches = [TrialSetting(data, dataset, metric, validation[start::2]) for start in (0, 1)]
    space = Space(share_distributions(_numbers(metric)), partial(_sampler, samples))
    with open_study(out, plan, storage, space) as (study, plan):
        study.work(partial(_next_wanted, plan, proxy.seed), partial(_do, study, plan, proxy, benches))
        return _result(plan, study)


def _numbers(metric: str) -> list[int]:
    """How many numbers each curve of the metric's loss has."""
    asl = ASL_METRIC[metric]
    return [len(PUBLISHED[asl]) // CURVES[asl]] * CURVES[asl]


def _sampler(samples: int, trials: int) -> BaseSampler:
    """The first round is random; later ones are proposed from all that is known."""
    return TPESampler(seed=trials, multivariate=True, constant_liar=True, n_startup_trials=samples)


def _next_wanted(plan: SearchPlan, seed: int, trials: Trials) -> Wanted | None:
    searching = _search_trials(trials)
    if len(searching) < plan.rounds * plan.samples:
        first = (soft_curves(_numbers(plan.metric)), PUBLISHED[ASL_METRIC[plan.metric]])
        begun = len(searching)
        params = shares_from_curves(first[begun], _numbers(plan.metric)) if begun < len(first) else None
        return Wanted(params, seed, SEARCH)
    if any(trial.state == TrialState.RUNNING for trial in searching) or best_trial(searching) is None:
        return None
    there = {(trial.user_attrs["role"], trial.user_attrs["seed"]) for trial in trials}
    todo = (Wanted({}, each, arm) for each in plan.seeds for arm in ARMS)
    return next((each for each in todo if (each.role, each.seed) not in there), None)


def best_trial(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial of the highest reward, of equal ones the first."""
    scored = [trial for trial in trials if trial.value is not None]
    return max(scored, key=lambda trial: (trial.value, -trial.number), default=None)


def _do(study: Study, plan: SearchPlan, proxy: Recipe, benches: Sequence[TrialSetting], job: StudyJob) -> None:
    params = job.params if job.role == SEARCH else None
    text = loss_from_params(plan.metric, params) if params is not None else _arm_loss(plan, study, job.role)
    recipe = replace(proxy, loss=parse_loss(text), seed=job.seed)
    run_trial(study, job, recipe, benches[job.role != SEARCH])
    if job.role != SEARCH:
        return
    shutil.rmtree(job.out, ignore_errors=True)  # hundreds of networks that nobody will read
    told = _best_by_round(plan, study.trials())
    done = sum(trial.state != TrialState.RUNNING for trial in _search_trials(study.trials()))
    if told and done % plan.samples == 0:
        round_ = f"round {done // plan.samples} of {plan.rounds}"
        note(f"{round_}: the best {METRICS[plan.metric]} so far is {told[-1]:.2f} %")


def loss_from_params(metric: str, params: Params) -> str:
    """The loss whose curves lie at these parameters."""
    return loss_from_curves(metric, curves_from_shares(params, _numbers(metric)))


def loss_from_curves(metric: str, curves: Sequence[float]) -> str:
    """The loss with these curves, as a recipe takes it."""
    asl = Asl(metric=ASL_METRIC[metric], curves=tuple(curves))  # type: ignore[arg-type]  # one of its literals
    return f"{BESIDE.get(metric, '')}{asl}"


def _arm_loss(plan: SearchPlan, study: Study, arm: str) -> str:
    if arm == "ce":
        return "ce"
    if arm == "found":
        return loss_from_params(plan.metric, _best(study).params)
    published = arm == "published"
    return loss_from_curves(
        plan.metric, PUBLISHED[ASL_METRIC[plan.metric]] if published else soft_curves(_numbers(plan.metric))
    )


def _best(study: Study) -> FrozenTrial:
    best = best_trial(_search_trials(study.trials()))
    if best is None:
        reasons = "; ".join(trial.user_attrs.get("error", "") for trial in study.trials()[:1])
        raise BadInput(f"no proxy training of {study.out} came to its end ({reasons}). Mend that; give another --out.")
    return best


def _search_trials(trials: Trials) -> Trials:
    return [trial for trial in trials if trial.user_attrs["role"] == SEARCH]


def _best_by_round(plan: SearchPlan, trials: Trials) -> tuple[float, ...]:
    """The best reward after each round; rounds before the first reward are left out."""
    searching = _search_trials(trials)
    ends = range(plan.samples, len(searching) + plan.samples, plan.samples)
    found = [best_trial(searching[:end]) for end in ends]
    return tuple(best.value for best in found if best is not None and best.value is not None)


def _result(plan: SearchPlan, study: Study) -> FoundLoss:
    best, trials = _best(study), study.trials()
    arms = {
        name: StudyArm(name, {"loss": _arm_loss(plan, study, name)}, "ce" if name != "ce" else None) for name in ARMS
    }
    for trial in trials:
        role, seed = trial.user_attrs["role"], trial.user_attrs["seed"]
        if role in arms and trial.value is not None:
            arms[role].scores[seed], arms[role].trials[seed] = trial.value, trial.number
    comparison = StudyComparison(
        study=plan.study,
        metric=METRICS[plan.metric],
        rows=compare_arms(list(arms.values())),
        failed=tuple(failed_trials(trials, lambda params: "a proxy")),
    )
    assert best.value is not None
    found = FoundLoss(
        loss=loss_from_params(plan.metric, best.params),
        metric=METRICS[plan.metric],
        score=best.value,
        rounds=_best_by_round(plan, trials),
        comparison=comparison,
    )
    study.write(RESULT, to_json(found))
    return found
