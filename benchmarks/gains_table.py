"""What benchmarks/gains.py keeps of an experiment, and the document it makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from gains_rows import ROWS
from gains_scores import added, rarest_third, scores_with_rare
from measure import Timing

from hardedge.contracts import Contract, read_json
from hardedge.data.opening import open_dataset
from hardedge.statistics.paired_by_seed import SeedDifference, paired_difference
from hardedge.train.studies.scores import Counts, Ints

AGAIN = "ce again"
NOTHING = "not run yet"
METRICS = ("mIoU", "mean recall", "rare IoU", "boundary F")
VERDICTS = {"higher": "yes", "lower": "no: lower", "not shown": "not shown"}


@dataclass(frozen=True, kw_only=True)
class Experiment(Contract):
    """What all rows of a directory share; `train_pixels` are the training split's, by class.

    Test images whose names begin with `part` are told apart, where it is not empty.
    """

    title: str
    data: str
    data_digest: str
    network: str
    steps: int
    batch: int
    crop: tuple[int, int]
    train_pixels: tuple[int, ...]
    part: str


@dataclass(frozen=True, kw_only=True)
class Result(Contract):
    """One row trained with one seed: what it did on the part of the test split that is told apart, and on the rest."""

    row: str
    seed: int
    loss: str
    checkpoint: str
    seconds: float
    machine: dict[str, str]
    part: Counts
    rest: Counts


@dataclass(frozen=True, kw_only=True)
class Cost(Contract):
    """A step's time over cross-entropy's, with a 95 % interval, and its peak memory over cross-entropy's."""

    time: float
    low: float
    high: float
    memory: float

    @classmethod
    def of(cls, timing: Timing, memory: float) -> Cost:
        return cls(time=timing.ratio, low=timing.low, high=timing.high, memory=memory)


@dataclass(frozen=True, kw_only=True)
class Costs(Contract):
    """The costs by row, those of a second cross-entropy too, and what they hold for."""

    rows: dict[str, Cost]
    machine: dict[str, str]


Scores = dict[int, dict[str, float]]  # by seed, by metric

INTRODUCTION = """# Do the methods help?

    export OMP_NUM_THREADS=1
    python benchmarks/gains.py train camvid --title CamVid --out DIR --size 180x240 --crop 128x192 --steps 400 \\
        --part Seq05VD --rows ce,ohem,hardness-light,hardness-faithful,recall,cpg,lmp,abl,pat,focal,ce-weighted,asl
    hardedge scenes --out scenes
    python benchmarks/gains.py train scenes --title "Street scenes" --out DIR2 --crop 96x160 --steps 300 \\
        --rows ce,ohem,hardness-light,hardness-faithful,recall,cpg,lmp,abl
    unset OMP_NUM_THREADS
    python benchmarks/gains.py costs DIR --seconds 75 \\
        --rows ce,ohem,hardness-light,hardness-faithful,recall,cpg,lmp,abl,pat,focal,ce-weighted,asl
    python benchmarks/gains.py table DIR DIR2 > docs/results.md

Each row trains the same network from the same random weights for the same steps on the same crops; its loss, and what
that needs, is all that differs. No setting was chosen for a row, nothing was chosen on the test split, and the
weights of the last step are judged, at the labels' resolution, over the classes that the labels have. *Rare IoU* is
the mean IoU of the third of the classes with the fewest training pixels. *Boundary F* is the mean over classes of the
F-score of border pixels at 3 pixels, counted over the whole split.

A difference is paired by seed, with Student's 95 % interval. *Could show* is the true mIoU difference that so many
pairs with this spread would show four times in five: below it, "not shown" says nothing about a method. Nothing is
corrected for the number of intervals: of each twenty of methods that do nothing, one excludes 0 by chance. AdamW
divides out the scale of a loss, so that a row does not gain by a larger step. Few steps from random weights are where
a network is told most by its learning rate and least by what its loss knows of hard pixels: what a method does at the
end of a long training is another question.

CamVid's validation split is one short clip beside training frames, and is used for nothing. Of the test split, 62
frames are of a video that the training split has too, and 171 of Seq05VD, which it has not.

**All figures below were made before labels moved with images:** until 2026-11-30 the augmentation by `scale` put labels
0.25 to 0.7 pixels right of and below their images, which the boundary methods (ABL, CPG, ASL, SSL) and the boundary F
feel most. They will be replaced by trainings made since.
"""


def page(experiments: Sequence[Path]) -> str:
    """The document: for each experiment the scores of its rows, their differences to their baselines, their costs."""
    return "\n".join([INTRODUCTION, *(section(out) for out in experiments)])


def section(out: Path) -> str:
    experiment = read_json(Experiment, out / "experiment.json")
    found = results_of(out)
    rare = rarest_third(np.array(experiment.train_pixels))
    every = {
        name: {seed: judged(result, rare, experiment) for seed, result in each.items()} for name, each in found.items()
    }
    lines = [f"## {experiment.title}", "", facts(experiment, found, rare), ""]
    lines += [*score_table(every, experiment), "", *difference_table(every), ""]
    lines += cost_table(out / "costs.json")
    lacking = [f"{row.name} (`{row.loss}`)" for row in ROWS.values() if row.name not in found]
    return "\n".join([*lines, *([f"Not run yet: {', '.join(lacking)}.", ""] if lacking else [])])


def results_of(out: Path) -> dict[str, dict[int, Result]]:
    """What is finished in the directory, by row and seed, in the rows' order."""
    results = [read_json(Result, path) for path in sorted((out / "results").glob("*.json"))]
    by_row = {name: {each.seed: each for each in results if each.row == name} for name in ROWS}
    return {name: dict(sorted(seeds.items())) for name, seeds in by_row.items() if seeds}


def judged(result: Result, rare: Ints, experiment: Experiment) -> dict[str, float]:
    found = scores_with_rare(added(result.part, result.rest), rare)
    return found | ({experiment.part: scores_with_rare(result.part, rare)["mIoU"]} if experiment.part else {})


def facts(experiment: Experiment, found: dict[str, dict[int, Result]], rare: Ints) -> str:
    """One paragraph: what was trained, on what, where."""
    task = open_dataset(Path(experiment.data)).task
    height, width = experiment.crop
    names = ", ".join(task.classes[index].name for index in rare)
    machines = {machine_in_words(result.machine) for each in found.values() for result in each.values()}
    dates = sorted({result.machine["date"] for each in found.values() for result in each.values()})
    hours = sum(result.seconds for each in found.values() for result in each.values()) / 3600
    trained = f"{experiment.steps} steps of {experiment.batch} crops of {height}x{width}"
    return (
        f"{experiment.network} from random weights, {trained}; rare classes: {names}.\n"
        f"Trained in {hours:.1f} h on {'; '.join(sorted(machines))}, {' to '.join(sorted({dates[0], dates[-1]}))}."
    )


def machine_in_words(machine: dict[str, str]) -> str:
    return f"{machine['device']} ({machine['threads']} of {machine['cores']} cores), torch {machine['torch']}"


def score_table(every: dict[str, Scores], experiment: Experiment) -> list[str]:
    """Mean and standard deviation over seeds of each metric, in percent."""
    metrics = (*METRICS, *([experiment.part] if experiment.part else []))
    heads = [f"mIoU of {name}" if name == experiment.part else name for name in metrics]
    lines = [f"| row | loss | seeds | {' | '.join(heads)} |", f"|---|---|---:|{'---:|' * len(heads)}"]
    for name, seeds in every.items():
        cells = [spread([each[metric] for each in seeds.values()]) for metric in metrics]
        lines.append(f"| {name} | `{ROWS[name].loss}` | {len(seeds)} | {' | '.join(cells)} |")
    return lines


def spread(values: list[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def difference_table(every: dict[str, Scores]) -> list[str]:
    """Each row's paired difference to its baseline, in points, with what so few seeds could have shown."""
    lines = [
        f"| row | over | pairs | {' | '.join(METRICS)} | could show | helps mIoU |",
        f"|---|---|---:|{'---:|' * (len(METRICS) + 1)}---|",
    ]
    for name, seeds in every.items():
        over = ROWS[name].baseline
        common = [seed for seed in seeds if seed in every.get(over, {})]
        pairs = {
            metric: paired_difference([seeds[s][metric] for s in common], [every[over][s][metric] for s in common])
            for metric in METRICS
        }
        if name == over or pairs["mIoU"] is None:
            continue
        cells = [in_words(pairs[metric]) for metric in METRICS]
        verdict = f"{pairs['mIoU'].detectable:.1f} | {VERDICTS[pairs['mIoU'].verdict]}"
        lines.append(f"| {name} | {over} | {len(common)} | {' | '.join(cells)} | {verdict} |")
    return lines


def in_words(difference: SeedDifference | None) -> str:
    assert difference is not None  # all metrics have the same seeds
    return f"{difference.mean:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]"


def cost_table(path: Path) -> list[str]:
    """A step's time and memory over cross-entropy's."""
    if not path.is_file():
        return [f"Time and memory of a step: {NOTHING}.", ""]
    costs = read_json(Costs, path)
    lines = ["| a step over cross-entropy's | time | 95 % interval | peak memory |", "|---|---:|---:|---:|"]
    for name, cost in costs.rows.items():
        lines.append(f"| {name} | {cost.time:.2f} | {cost.low:.2f} to {cost.high:.2f} | {cost.memory:.2f} |")
    return [*lines, "", f"Steps in turns on {machine_in_words(costs.machine)}, {costs.machine['date']}.", ""]
