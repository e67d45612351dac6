"""Ways to train beside each other: means and deviations over seeds, and differences that are paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from hardedge.contracts import Contract, Json
from hardedge.statistics.corrections import holm
from hardedge.statistics.paired_by_seed import LEVEL, SeedDifference, paired_difference

SHOWN = 1 - LEVEL


@dataclass(frozen=True)
class StudyArm:
    """One way to train: its scores and its trials by seed; `over` is the name of the arm that it is compared to."""

    name: str
    point: Mapping[str, Json]
    over: str | None = None
    scores: dict[int, float] = field(default_factory=dict)
    trials: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row(Contract):
    """One arm in percent, and its difference in points to the arm `over`, over the seeds that both have.

    `trials` are the numbers of its directories, by seed. `p` is the difference's, Holm-corrected over all rows that
    have one. `verdict` is higher or lower where p is below 0.05, else not shown: no word about equality.
    """

    name: str
    point: dict[str, Json]
    scores: dict[str, float]
    trials: dict[str, int]
    mean: float
    deviation: float | None
    over: str | None
    difference: SeedDifference | None
    p: float | None
    verdict: str | None


@dataclass(frozen=True, kw_only=True)
class Failed(Contract):
    """A training that could not be done, and why."""

    trial: int
    name: str
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class StudyComparison(Contract):
    """What a study found; `metric` is what its scores are, on the validation split."""

    study: str
    metric: str
    rows: tuple[Row, ...]
    failed: tuple[Failed, ...]


@dataclass(frozen=True, kw_only=True)
class FoundLoss(Contract):
    """The best curves of a search, as the loss that a recipe takes, and proxies with it beside others.

    `score` is its reward in the search, and `rounds` the best reward after each round. The comparison is of new seeds
    and of images that chose nothing: the other half of the validation split.
    """

    loss: str
    metric: str
    score: float
    rounds: tuple[float, ...]
    comparison: StudyComparison


def compare_arms(arms: Sequence[StudyArm]) -> tuple[Row, ...]:
    """A row for each arm that has a score, in their order."""
    by_name = {arm.name: arm for arm in arms}
    scored = [arm for arm in arms if arm.scores]
    differences = [_difference(arm, by_name[arm.over]) if arm.over is not None else None for arm in scored]
    corrected = holm([each.p if each else None for each in differences])
    return tuple(_row(*each) for each in zip(scored, differences, corrected, strict=True))


def _difference(arm: StudyArm, baseline: StudyArm) -> SeedDifference | None:
    common = sorted(arm.scores.keys() & baseline.scores.keys())
    return paired_difference([arm.scores[seed] for seed in common], [baseline.scores[seed] for seed in common])


def _row(arm: StudyArm, difference: SeedDifference | None, p: float | None) -> Row:
    values = list(arm.scores.values())
    verdict = None
    if difference is not None and p is not None:
        verdict = difference.verdict if p < SHOWN else "not shown"
    return Row(
        name=arm.name,
        point=dict(arm.point),
        scores={str(seed): score for seed, score in sorted(arm.scores.items())},
        trials={str(seed): number for seed, number in sorted(arm.trials.items())},
        mean=mean(values),
        deviation=stdev(values) if len(values) > 1 else None,
        over=arm.over,
        difference=difference,
        p=p,
        verdict=verdict,
    )
