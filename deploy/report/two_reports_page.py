"""The page of `hardedge report A B`: what differs, what of it is real, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

from hardedge.artefact import staged_directory
from hardedge.contracts import (
    ComparedRun,
    Comparison,
    EngineDifference,
    LatencyPair,
    RealDifference,
    ScoreDifference,
    to_json,
    write_atomically,
)
from hardedge.deploy.report.two_reports_text import arms_text, p_value_text, reports_method_text
from hardedge.pages.charts import difference_bar, difference_limit
from hardedge.pages.markup import (
    Markup,
    badge,
    class_name,
    digest_text,
    facts_list,
    html_table,
    join_markup,
    note_line,
    number_text,
    section,
    signed_number,
    sorted_by,
    tag,
)
from hardedge.pages.page import page

TONES = {"better": "good", "worse": "bad", "undecided": "none", "equal": "none", "not in the labels": "none"}


def write_comparison(found: Comparison, out: Path, force: bool) -> None:
    """Writes comparison.html and comparison.json into the directory `out`."""
    with staged_directory(out, force=force) as partial:
        write_atomically(partial / "comparison.html", comparison_html(found).encode())
        write_atomically(partial / "comparison.json", to_json(found).encode())


def comparison_html(found: Comparison) -> str:
    """The page, complete in itself."""
    title = f"Two runs on {found.images} test images"
    kicker = tag("p", f"hardedge report · {found.created}", class_="kicker")
    sides = facts_list((name, f"{run.network} · {run.loss} · {run.directory}") for name, run in sides_of(found))
    top = tag("header", kicker, tag("h1", title), sides)
    engines = [engine_part(found, each) for each in found.engines]
    main = tag("main", top, comparison_summary(found), *engines, compared_latency(found), compared_runs(found))
    footer = tag("footer", f"{found.created} · the same in comparison.json, for machines")
    return page(title, main, footer)


def sides_of(found: Comparison) -> tuple[tuple[str, ComparedRun], ...]:
    return (("A", found.a), ("B", found.b))


def comparison_summary(found: Comparison) -> Markup:
    """A line for each engine: mIoU first, then the classes that really differ."""
    rows = [engine_finding(each) for each in found.engines]
    left = f"; {found.left_out} that are not the same in both were left out" if found.left_out else ""
    unpaired = [note_line(f"Not compared: {each}.") for each in found.unpaired]
    findings = tag("ul", *rows, class_="findings", aria_label="What really differs")
    told = note_line(f"B against A on the {found.images} test images that both share{left}.")
    return tag(
        "section", told, findings, note_line(reports_method_text(found)), *unpaired, aria_label="What really differs"
    )


def engine_finding(each: EngineDifference) -> Markup:
    real = {status: [row.name for row in each.per_class if row.status == status] for status in ("better", "worse")}
    told = [f"{status} in {', '.join(names)}" for status, names in real.items() if names]
    classes = f"Classes that really differ, of {each.tested} tested: " + ("; ".join(told) or "none") + "."
    return tag(
        "li", tag("b", arms_text(each)), status_mark(each.miou.status), tag("p", difference_numbers(each.miou), classes)
    )


def difference_numbers(row: ScoreDifference) -> str:
    if row.interval is None:
        return "No pixel is labelled. "
    return (
        f"mIoU {number_text(row.a, 2, '%')} and {number_text(row.b, 2, '%')}: "
        f"{signed_number(row.difference or 0.0)} points "
        f"{interval_cell(row)}, p {p_value_text(row.p)}. "
    )


def interval_cell(row: ScoreDifference) -> str:
    return f"[{signed_number(row.interval.low)}, {signed_number(row.interval.high)}]" if row.interval else ""


def p_of(p: float | None) -> str:
    return "–" if p is None else sorted_by(p, p_value_text(p))


def status_mark(status: RealDifference) -> Markup:
    """What is said of B; a tone of its own only where a difference is real."""
    return badge(status, TONES[status])


def engine_part(found: Comparison, each: EngineDifference) -> Markup:
    """One engine: mIoU and every class."""
    limit = difference_limit([row for row in (each.miou, *each.per_class) if row.interval])
    rows = [difference_cells("mIoU", each.miou, limit)]
    named = zip(found.classes, each.per_class, strict=True)
    rows += [difference_cells(class_name(info, index), row, limit) for index, (info, row) in enumerate(named)]
    head = ("class", "B is", "A", "B", "B − A", "95 % interval", "p", "images", f"points, −{limit:g} to +{limit:g}")
    caption = f"IoU in percent, {arms_text(each)}: {each.images} images, {each.tested} classes tested"
    inner = html_table(caption, head, rows, numeric=range(2, 8), sortable=True)
    legend = note_line(
        "Images: those in which the two differ, without which nothing can be said. Below five: undecided."
    )
    return section(arms_text(each), tag("div", inner, class_="classes"), legend)


def difference_cells(name: str, row: ScoreDifference, limit: float) -> tuple[str, ...]:
    if row.interval is None or row.difference is None:
        return (name, status_mark(row.status), *("–" for _ in range(6)), "")
    bar = difference_bar(row.interval, row.difference, limit, real=row.status in ("better", "worse"))
    figures = (number_text(row.a), number_text(row.b), signed_number(row.difference), interval_cell(row), p_of(row.p))
    return (name, status_mark(row.status), *figures, str(row.images), sorted_by(row.difference, bar))


def compared_latency(found: Comparison) -> Markup:
    if not found.latency:
        return section("Latency", note_line("No engine was timed in both runs."))
    rows = [compared_latency_row(each) for each in found.latency]
    head = ("engine", "A, p50", "B, p50", "change")
    times = html_table("Medians of two runs that were not interleaved: not judged", head, rows, numeric=range(1, 4))
    return section("Latency", times, *(note_line(f"{each.a}: {each.detail}.") for each in found.latency))


def compared_latency_row(each: LatencyPair) -> tuple[str, ...]:
    change = "–" if each.change is None else signed_number(each.change, 1, "%")
    return (each.a, number_text(each.p50_a, 2, "ms"), number_text(each.p50_b, 2, "ms"), change)


def compared_runs(found: Comparison) -> Markup:
    """Where both come from."""
    origins = [compared_provenance(run) for _, run in sides_of(found)]
    names = dict.fromkeys(name for origin in origins for name in origin)
    rows = [(name, *(origin.get(name, "–") for origin in origins)) for name in names]
    return section("The two runs", html_table("Where they come from", ("what", "A", "B"), rows))


def compared_provenance(run: ComparedRun) -> dict[str, str]:
    return {
        "report": run.directory,
        "verdict": badge(run.verdict),
        "network": run.network,
        "loss": tag("code", run.loss),
        "branches": join_markup((tag("code", name) for name in run.branches), ", ") or "none",
        "data": run.data,
        "written": run.created,
        "digest": digest_text(run.digest),
        "made from the bundle": digest_text(run.made_from) if run.made_from else "–",
        "hardedge": run.hardedge,
        **run.machine,
    }
