"""The tables of docs/results.md: scores of the rows, differences to their baselines, what a step costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from gains_experiment import FILE, Costs, Experiment, Result, results_of
from gains_rows import PRIMARY, ROWS, TESTED, wanted_seeds
from gains_scores import added, calibration_error, rarest_third, scores_with_rare

from hardedge.contracts import read_json
from hardedge.statistics.corrections import holm
from hardedge.statistics.paired_by_seed import SeedDifference, paired_difference
from hardedge.train.studies.scores import Ints

METRICS = ("mIoU", "mean recall", "rare IoU", "boundary F", "calibration error")
LEVEL = 0.05

Scores = dict[int, dict[str, float]]  # by seed, by metric


@dataclass(frozen=True)
class Table:
    """An experiment with its results and, by row and seed, their scores in percent."""

    experiment: Experiment
    results: Mapping[str, Mapping[int, Result]]
    scores: Mapping[str, Scores]
    rare: Ints

    @classmethod
    def load(cls, folder: Path) -> Table:
        experiment, results = read_json(Experiment, folder / FILE), results_of(folder)
        rare = rarest_third(np.array(experiment.train_pixels))
        scores = {
            name: {seed: scored(result, rare, experiment.part) for seed, result in seeds.items()}
            for name, seeds in results.items()
        }
        return cls(experiment, results, scores, rare)

    def metrics(self) -> tuple[str, ...]:
        return (*METRICS, *([self.experiment.part] if self.experiment.part else []))

    def difference(self, row: str, metric: str = "mIoU") -> SeedDifference | None:
        """The row's paired difference to its baseline; None with fewer than two pairs."""
        over = ROWS[row].baseline
        if row == over:
            return None
        ours, theirs = self.scores.get(row, {}), self.scores.get(over, {})
        common = [seed for seed in ours if seed in theirs]
        return paired_difference([ours[seed][metric] for seed in common], [theirs[seed][metric] for seed in common])

    def p_values(self) -> dict[str, float]:
        """Of the primary question its own, of the six the Holm-corrected ones, as far as all their seeds are there."""
        every = {row: self.difference(row) for row in (PRIMARY, *TESTED)}
        done = {row: each.p for row, each in every.items() if each and each.pairs >= wanted_seeds(row)}
        six = holm([done.get(row) for row in TESTED])
        found = {row: p for row, p in zip(TESTED, six, strict=True) if p is not None}
        return found | ({PRIMARY: done[PRIMARY]} if PRIMARY in done else {})


def scored(result: Result, rare: Ints, part: str) -> dict[str, float]:
    found = scores_with_rare(added(result.part, result.rest), rare)
    found["calibration error"] = calibration_error(result.confidence)
    return found | ({part: scores_with_rare(result.part, rare)["mIoU"]} if part else {})


def facts(table: Table) -> str:
    """One paragraph: what was trained, on what, where."""
    experiment, results = table.experiment, [each for seeds in table.results.values() for each in seeds.values()]
    height, width = experiment.crop
    names = ", ".join(experiment.classes[index] for index in table.rare)
    start = f"ImageNet weights (sha256 {experiment.backbone[:12]})" if experiment.backbone else "random weights"
    crops = f"{experiment.batch} crops of {height}x{width}"
    lines = [
        f"{experiment.network} from {start}, {experiment.steps:,} steps of {crops}, rate {experiment.learning_rate:g}; "
        f"rare classes: {names}."
    ]
    if results:
        dates = sorted({each.machine["date"] for each in results})
        machines = "; ".join(sorted({machine_in_words(each.machine) for each in results}))
        hours = sum(each.seconds for each in results) / 3600
        lines.append(
            f"{len(results)} trainings in {hours:.1f} h on {machines}, {' to '.join(sorted({dates[0], dates[-1]}))}."
        )
    return "\n".join(lines)


def machine_in_words(machine: Mapping[str, str]) -> str:
    return f"{machine['device']} ({machine['threads']} of {machine['cores']} cores), torch {machine['torch']}"


def score_table(table: Table) -> list[str]:
    """Mean and standard deviation over seeds of each metric, in percent."""
    heads = [f"mIoU of {name}" if name == table.experiment.part else name for name in table.metrics()]
    lines = [f"| row | loss | seeds | {' | '.join(heads)} |", f"|---|---|---:|{'---:|' * len(heads)}"]
    for name, seeds in table.scores.items():
        cells = [spread([each[metric] for each in seeds.values()]) for metric in table.metrics()]
        lines.append(f"| {name} | `{ROWS[name].loss}` | {so_far(name, len(seeds))} | {' | '.join(cells)} |")
    return lines


def so_far(name: str, seeds: int) -> str:
    wanted = wanted_seeds(name)
    return str(seeds) if seeds >= wanted else f"{seeds} of {wanted} so far"


def spread(values: list[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def difference_table(table: Table) -> list[str]:
    """Each row's paired difference to its baseline, in points, with what so few seeds could have shown."""
    heads = " | ".join(f"{name} mIoU" if name == table.experiment.part else name for name in table.metrics())
    lines = [f"| row | over | pairs | {heads} | could show | verdict on mIoU |"]
    lines += [f"|---|---|---:|{'---:|' * (len(table.metrics()) + 1)}---|"]
    p_values = table.p_values()
    for name in table.scores:
        pairs = {metric: table.difference(name, metric) for metric in table.metrics()}
        miou = pairs["mIoU"]
        if miou is None:
            continue
        cells = " | ".join(in_words(pairs[metric]) for metric in table.metrics())
        words = verdict(name, miou, p_values.get(name))
        lines.append(f"| {name} | {ROWS[name].baseline} | {miou.pairs} | {cells} | {miou.detectable:.1f} | {words} |")
    return lines


def verdict(row: str, difference: SeedDifference, p: float | None) -> str:
    """What may be said of a row: of a tested one nothing before its last seed, of a further one no test's word."""
    if row not in (PRIMARY, *TESTED):
        return "not tested"
    if p is None:
        return f"open: {difference.pairs} of {wanted_seeds(row)} pairs so far"
    if p >= LEVEL:
        return f"not shown (p {p:.2g})"
    return f"{'higher' if difference.mean > 0 else 'lower'} (p {p:.2g})"


def in_words(difference: SeedDifference | None) -> str:
    assert difference is not None  # all metrics have the same seeds
    return f"{difference.mean:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]"


def curve_table(table: Table) -> list[str]:
    """The mIoU on the validation split over a training, as differences to cross-entropy's at the same step."""
    base = table.results.get("ce", {})
    steps = sorted({step for seeds in table.results.values() for each in seeds.values() for step, _ in each.curve})
    lines = [f"| row | {' | '.join(f'step {step:,}' for step in steps)} |", f"|---|{'---:|' * len(steps)}"]
    for name, seeds in table.results.items():
        curves = {seed: dict(each.curve) for seed, each in seeds.items()}
        if name != "ce":
            curves = {seed: _minus(curve, dict(base[seed].curve)) for seed, curve in curves.items() if seed in base}
        if curves:
            means = [mean(curve[step] for curve in curves.values()) for step in steps]
            cells = [f"{value:.1f}" if name == "ce" else f"{value:+.1f}" for value in means]
            lines.append(f"| {name}{'' if name == 'ce' else ' minus ce'} | {' | '.join(cells)} |")
    return lines


def _minus(curve: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    return {step: value - other[step] for step, value in curve.items()}


def cost_table(path: Path) -> list[str]:
    """A step's time and memory over cross-entropy's."""
    if not path.is_file():
        return ["Time and memory of a step: not run yet."]
    costs = read_json(Costs, path)
    lines = ["| a step over cross-entropy's | time | 95 % interval | peak memory |", "|---|---:|---:|---:|"]
    for name, cost in costs.rows.items():
        lines.append(f"| {name} | {cost.time:.2f} | {cost.low:.2f} to {cost.high:.2f} | {cost.memory:.2f} |")
    return [*lines, "", f"Steps in turns on {machine_in_words(costs.machine)}, {costs.machine['date']}."]
