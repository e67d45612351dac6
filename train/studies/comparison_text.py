"""A comparison of ways to train as a table for a terminal."""

from hardedge.statistics.signed import signed_text, span_text
from hardedge.train.studies.comparison import FoundLoss, Row, StudyComparison

HEAD = ("", "seeds", "mean", "deviation", "over", "difference", "95 % interval", "p", "could show", "is")
LEFT = (0, 4, 9)  # columns of words


def study_text(found: StudyComparison, title: str) -> str:
    """The table under its title, what could not be trained, and how the differences are to be read."""
    lines = [title, "", *study_table([HEAD, *map(_cells, found.rows)])]
    for failed in found.failed:
        lines += ["", f"failed: trial {failed.trial} ({failed.name}, seed {failed.seed}): {failed.reason}"]
    tested = sum(row.difference is not None for row in found.rows)
    if tested:
        lines += ["", study_method_text(tested)]
    elif len(found.rows) > 1 and all(row.over is None for row in found.rows):
        lines += [
            "",
            "Not compared: a sampler chose these by their scores. Put the best into a grid with new seeds.",
        ]
    return "\n".join(lines)


def loss_text(found: FoundLoss, words: str) -> str:
    """The search round by round, what it found beside others, and how to train with it; `words` are a command's."""
    rounds = " ".join(f"{best:.2f}" for best in found.rounds)
    title = f"{found.metric} in percent on the images that judge, which the search has not seen"
    return "\n".join(
        [
            f"best {found.metric} after each round, on the images that reward: {rounds}",
            "",
            study_text(found.comparison, title),
            "",
            f'hardedge {words} --set branches= --set loss="{found.loss}" --out DIR',
        ]
    )


def study_method_text(tested: int) -> str:
    """What stands behind the words higher, lower and not shown."""
    return (
        "Differences in points, paired by seed, with Student's 95 % interval of each alone; p is Holm-corrected over "
        f"the {tested} difference(s).\nHigher or lower: p < 0.05. Not shown is not equal: could show is the difference "
        "that so many seeds with this spread would show four times in five."
    )


def _cells(row: Row) -> tuple[str, ...]:
    deviation = "" if row.deviation is None else f"{row.deviation:.2f}"
    start = (row.name, str(len(row.scores)), f"{row.mean:.2f}", deviation)
    found = row.difference
    if found is None or row.p is None:
        return (*start, *[""] * (len(HEAD) - len(start)))
    interval = span_text(found.low, found.high, 2)
    told = (signed_text(found.mean, 2), interval, f"{row.p:.2g}", f"{found.detectable:.2f}", row.verdict or "")
    return (*start, row.over or "", *told)


def study_table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the columns below each other; numbers to the right, columns that are empty in all rows left out."""
    kept = [column for column in range(len(HEAD)) if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in kept}
    lines = []
    for row in rows:
        cells = [row[c].ljust(widths[c]) if c in LEFT else row[c].rjust(widths[c]) for c in kept]
        lines.append("  ".join(cells).rstrip())
    return lines
