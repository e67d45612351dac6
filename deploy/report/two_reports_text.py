"""A comparison of two reports in a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from hardedge.contracts import ComparedRun, Comparison, EngineDifference, ScoreDifference
from hardedge.statistics.signed import signed_text, span_text
from hardedge.statistics.two_runs import REAL

HEAD = ("", "A", "B", "B - A", "95 % interval", "p", "B is")
WORDS = {"undecided": "undecided", "equal": "equal", "better": "BETTER", "worse": "WORSE"}


def comparison_report_text(found: Comparison) -> str:
    """What was compared, a table for each engine, what is real, and latencies with their caveat."""
    left_out = f", {found.left_out} that are not the same left out" if found.left_out else ""
    lines = [
        *(f"{name}  {run.directory}: {run.network}, {run.loss}, {run.created}" for name, run in _runs(found)),
        f"{found.images} test images{left_out}; IoU in percent, differences in points",
        "",
        *_tables(found),
        *(f"not compared: {each}" for each in found.unpaired),
        *_latencies(found),
        "",
        real_differences_text(found),
        reports_method_text(found),
    ]
    return "\n".join(lines)


def real_differences_text(found: Comparison) -> str:
    """The differences that are real, a line for each engine."""
    parts = []
    for each in found.engines:
        real = [row for row in (each.miou, *each.per_class) if row.status in ("better", "worse")]
        told = "; ".join(
            f"{status} in {', '.join(row.name for row in real if row.status == status)}"
            for status in ("better", "worse")
            if any(row.status == status for row in real)
        )
        parts.append(f"{arms_text(each)}: B is {told}." if told else f"{arms_text(each)}: no real difference.")
    return "\n".join(parts)


def reports_method_text(found: Comparison) -> str:
    """What stands behind the word real."""
    tested = ", ".join(str(each.tested) for each in found.engines)
    return (
        f"Real: p < {REAL:g}, paired bootstrap over the images. p of classes is Holm-corrected over those that were "
        f"tested of an engine ({tested}), not over engines; intervals are of one row alone. Undecided is not equal: "
        "these images do not tell."
    )


def arms_text(each: EngineDifference) -> str:
    """The engine, or both where they are not the same."""
    return each.a if each.a == each.b else f"{each.a} (A) and {each.b} (B)"


def _runs(found: Comparison) -> tuple[tuple[str, ComparedRun], ...]:
    return (("A", found.a), ("B", found.b))


def _tables(found: Comparison) -> Iterator[str]:
    rows = [(each, [_cells(row) for row in (each.miou, *each.per_class)]) for each in found.engines]
    every = [HEAD, *(cells for _, group in rows for cells in group)]
    widths = [max(len(cells[column]) for cells in every) for column in range(len(HEAD))]
    first = found.engines[0]
    for each, group in rows:
        yield f"{arms_text(each)}, {each.images} images"
        if each is not first and (each.miou, each.per_class) == (first.miou, first.per_class):
            yield f"  the same numbers as of the {arms_text(first)}"
        else:
            yield from (_line(cells, widths) for cells in (HEAD, *group))
        yield ""


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *numbers, last = cells
    set_right = (cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True))
    return "  ".join(("", first.ljust(widths[0]), *set_right, last)).rstrip()


def _cells(row: ScoreDifference) -> tuple[str, ...]:
    if row.interval is None or row.difference is None:
        return (row.name, "-", "-", "-", "-", "-", row.status)
    span = span_text(row.interval.low, row.interval.high, 2)
    return (
        row.name,
        f"{row.a:.2f}",
        f"{row.b:.2f}",
        signed_text(row.difference, 2),
        span,
        p_value_text(row.p),
        WORDS[row.status],
    )


def p_value_text(p: float | None) -> str:
    """A p-value of three digits, never rounded to 0; a dash where nothing was tested."""
    return "-" if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}"


def _latencies(found: Comparison) -> Iterator[str]:
    for each in found.latency:
        change = "" if each.change is None else f" ({signed_text(each.change, 1)} %)"
        yield f"latency {each.a}: p50 {each.p50_a:.2f} ms and {each.p50_b:.2f} ms{change}, not judged: {each.detail}"
