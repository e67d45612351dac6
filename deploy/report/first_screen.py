"""The first screen: the verdict in one sentence with all that speaks against it, the checks, and four numbers."""

from __future__ import annotations

from collections.abc import Iterator

from hardedge.contracts import Interval, Report
from hardedge.deploy.report.findings import not_run, worst_status
from hardedge.deploy.report.verdict_text import verdict_sentences
from hardedge.pages.markup import TONES, Markup, anchor, as_sentence, badge, number_text, size_text, tag


def verdict_banner(report: Report) -> Markup:
    """The verdict by word and colour, its sentence, what stands beside it, and each check with its status."""
    word = report.verdict.upper()
    first, *others = verdict_sentences(report)
    points = [tag("li", each) for each in others]
    return tag(
        "section",
        tag(
            "div",
            tag("p", word, class_="word"),
            tag("p", as_sentence(first.removeprefix(f"{word}: ")), class_="why"),
            tag("ul", *points, class_="points") if points else None,
            class_=f"verdict {TONES[report.verdict]}",
            role="status",
        ),
        tag("ul", *check_links(report), class_="checks", aria_label="Checks"),
        id="verdict",
        aria_label="Verdict",
    )


def check_links(report: Report) -> Iterator[Markup]:
    """Each check by name and status, a link to what it rests on."""
    levels = report.certificate
    parity = worst_status([run.status for run in report.parity]) if report.parity else "not run here"
    yield check_link("Identity", levels.level0.status, "Certificate")
    yield check_link("TensorRT-RTX engines", levels.level0.rtx_engines.status, "Certificate")
    yield check_link("Accuracy", parity, "Parity")
    yield check_link("Cost of the training aids", report.overhead.status, "Certificate")
    if report.gates:
        yield check_link(f"Gates ({len(report.gates)})", worst_status([each.status for each in report.gates]), "Gates")
    else:
        yield tag("li", tag("a", "Gates", href=f"#{anchor('Gates')}"), " ", badge("none set", "none"))
    if rest := not_run(report):
        yield tag("li", tag("a", f"{len(rest)} not run", href="#not-run-here"), " ", badge("not run here"))


def check_link(name: str, status: str, heading: str) -> Markup:
    return tag("li", tag("a", name, href=f"#{anchor(heading)}"), " ", badge(status))


def number_tiles(report: Report) -> Markup:
    """mIoU and the worst class with their intervals, the median latency, the size."""
    tiles = (miou_tile(report), worst_class_tile(report), latency_tile(report), size_tile(report))
    return tag("section", tag("dl", *tiles, class_="tiles"), aria_label="Key numbers")


def number_tile(name: str, value: str, *notes: str | None) -> Markup:
    """A term, its value in large, and what it is of."""
    small = [tag("span", each) for each in notes if each]
    return tag("div", tag("dt", name), tag("dd", tag("b", value), *small))


def miou_tile(report: Report) -> Markup:
    found = report.intervals
    whose = f"of the reference, on {found.images} test images" if found else "of the reference"
    return number_tile(
        "mIoU", number_text(report.metrics.miou, 2, "%"), interval_words(found.miou if found else None), whose
    )


def worst_class_tile(report: Report) -> Markup:
    scores = {name: iou for name, iou in report.metrics.per_class.items() if iou is not None}
    if not scores:
        return number_tile("Worst class", "–", "no class is labelled")
    name = min(scores, key=lambda each: scores[each])
    interval = report.intervals.per_class.get(name) if report.intervals else None
    return number_tile("Worst class", number_text(scores[name], 2, "%"), interval_words(interval), name)


def interval_words(interval: Interval | None) -> str | None:
    """The ends of an interval in percent; nothing where it is not known."""
    if interval is None:
        return None
    low, high = number_text(interval.low), number_text(interval.high)
    return f"{low} to {high} ({interval.confidence:g} % interval)"


def latency_tile(report: Report) -> Markup:
    """The fastest engine that was timed."""
    if not report.latency:
        return number_tile("Latency", "not timed", "hardedge verify --latency 15s")
    run = min(report.latency, key=lambda each: each.p50)
    height, width = run.size
    more = f", fastest of {len(report.latency)}" if len(report.latency) > 1 else ""
    return number_tile(
        "Latency, p50",
        number_text(run.p50, 1, "ms"),
        f"{run.target} {run.precision}{more}",
        f"one image of {height} × {width}",
    )


def size_tile(report: Report) -> Markup:
    """The engine of the latency tile, or the smallest."""
    parameters = f"{number_text(report.certificate.level1.shipped.parameters / 1e6, 2)} M parameters"
    if not report.engines:
        return number_tile("Size", "no engine", parameters)
    fastest = min(report.latency, key=lambda each: each.p50, default=None)
    key = (fastest.target, fastest.precision) if fastest else None
    of_key = [each for each in report.engines if (each.target, each.precision) == key]
    engine = of_key[0] if of_key else min(report.engines, key=lambda each: each.bytes)
    return number_tile("Size", size_text(engine.bytes), f"{engine.target} {engine.precision}", parameters)
