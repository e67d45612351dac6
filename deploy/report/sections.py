"""The body of the report: gates, parity, classes, latency, engines, provenance; a function each."""

from __future__ import annotations

from hardedge.contracts import ZERO_DIGEST, ClassParity, EngineSummary, Latency, Parity, Report, Task
from hardedge.deploy.engines.smallest_pins import in_words
from hardedge.deploy.latency.sensors import in_words as read_as
from hardedge.deploy.report.findings import NOT_COMPARED, not_run, reference_of
from hardedge.pages.charts import histogram
from hardedge.pages.markup import (
    Markup,
    badge,
    class_name,
    digest,
    facts,
    note,
    number,
    section,
    share,
    signed,
    size_of,
    sorted_by,
    table,
    tag,
)


def gates(report: Report) -> Markup:
    if not report.gates:
        return section(
            "Gates", note("No gate was asked for. Set one with --max-miou-drop, --max-overhead or --require.")
        )
    rows = [(tag("code", gate.name), badge(gate.status), gate.limit, gate.found) for gate in report.gates]
    return section("Gates", table("Limits that were asked for", ("gate", "status", "limit", "found"), rows))


def parity(report: Report) -> Markup:
    """mIoU and agreement of every target that ran, and the targets that did not."""
    rest = [note(f"{name}: built, not run here.") for name in not_run(report)]
    if not report.parity:
        return section("Parity", note(NOT_COMPARED), *rest)
    agreement = ("pixels equal", "near edges", "golden")
    head = ("target", "status", "reference mIoU", "mIoU", "difference [interval]", "margin", *agreement)
    caption = f"Masks of each target against {reference_of(report)}, on {report.parity[0].images} test images"
    unit = note(
        f"mIoU in percent; difference in points with its {report.parity[0].interval.confidence:g} % paired bootstrap "
        "interval, whose lower end must lie above −margin. Near edges: pixels equal within 3 px of a class boundary."
    )
    details = [note(f"{each.target} {each.precision}: {each.detail}") for each in report.parity if each.detail]
    rows = [parity_row(each) for each in report.parity]
    return section("Parity", table(caption, head, rows, numeric=range(2, 9), sortable=True), unit, *details, *rest)


def parity_row(found: Parity) -> tuple[str, ...]:
    return (
        f"{found.target} {found.precision}",
        badge(found.status),
        number(found.miou_reference),
        number(found.miou),
        f"{signed(found.difference)} [{signed(found.interval.low)}, {signed(found.interval.high)}]",
        number(found.margin),
        share(found.pixel_agreement),
        share(found.boundary_agreement),
        share(found.golden_agreement),
    )


def classes(report: Report) -> Markup:
    """Each class under the reference and every target that ran."""
    if not report.parity:
        return section("Classes", reference_classes(report))
    tables = [class_table(each, report.task) for each in report.parity]
    legend = (
        "Bar: IoU on the target; tick: the reference. "
        "p, Holm-corrected: a small one says that the class lost more than the margin."
    )
    return section("Classes", note(legend), *tables)


def class_table(found: Parity, task: Task) -> Markup:
    head = ("class", "reference", "target", "difference", "pixels equal", "p", "IoU, 0 to 100 %")
    rows = [class_row(each, task) for each in found.per_class]
    caption = f"IoU in percent, {found.target} {found.precision}"
    return tag("div", table(caption, head, rows, numeric=range(1, 6), sortable=True), class_="classes")


def class_row(found: ClassParity, task: Task) -> tuple[str, ...]:
    return (
        class_of(task, found.name),
        number(found.reference),
        number(found.target),
        "–" if found.target is None or found.reference is None else signed(found.target - found.reference),
        share(found.pixel_agreement),
        number(found.p_worse, 3),
        gauge(found.target, found.reference),
    )


def class_of(task: Task, name: str) -> str:
    """A class of the task by colour and name; the name alone of what is none."""
    index = next((index for index, info in enumerate(task.classes) if info.name == name), None)
    return name if index is None else class_name(task.classes[index], index)


def reference_classes(report: Report) -> Markup:
    scores = report.metrics.per_class
    rows = [(class_of(report.task, name), number(iou), gauge(iou, None)) for name, iou in scores.items()]
    head = ("class", "reference", "IoU, 0 to 100 %")
    inner = table(f"IoU in percent, {reference_of(report)}", head, rows, numeric=(1,), sortable=True)
    return tag("div", inner, class_="classes")


def gauge(value: float | None, mark: float | None) -> Markup:
    """A bar for an IoU in percent with a tick for another; in words where there is none."""
    if value is None:
        return tag("span", "not in the labels", class_="note")
    bar = tag("i", style=f"width:{value:.2f}%")
    tick = tag("u", style=f"left:{mark:.2f}%") if mark is not None else None
    return sorted_by(value, tag("span", bar, tick, class_="gauge", aria_hidden="true"))


def latency(report: Report) -> Markup:
    if not report.latency:
        return section("Latency", note("No target was timed on this machine."))
    head = ("target", "image", "runs", "p50", "p90", "p99", "images/s at p50")
    rows = [latency_row(each) for each in report.latency]
    times = table("Latency of one image, batch 1", head, rows, numeric=range(1, 7), sortable=True)
    plots = [
        tag("figure", tag("figcaption", f"{each.target} {each.precision}"), histogram(each))
        for each in report.latency
        if each.samples
    ]
    sensors = [
        note(f"{each.target} {each.precision}; power, clock, temperature while it was timed: {read_as(each.sensors)}.")
        for each in report.latency
        if each.sensors
    ]
    return section("Latency", times, *sensors, tag("div", *plots, class_="plots"))


def latency_row(found: Latency) -> tuple[str, ...]:
    height, width = found.size
    times = (number(value, 2, "ms") for value in (found.p50, found.p90, found.p99))
    name, size = f"{found.target} {found.precision}", f"{width} × {height}"
    return (name, size, number(found.runs, 0), *times, number(1000 / found.p50, 1))


def engines(report: Report) -> Markup:
    if not report.engines:
        return section("Engines", note("No engine was built."))
    unrun = not_run(report)
    head = ("target", "on this machine", "precision", "builder", "size", "built in", "SHA-256")
    rows = [engine_row(each, f"{each.target} ({each.precision})" not in unrun) for each in report.engines]
    healed = [
        note(f"{each.target} {each.precision}: {in_words(each.healed)}") for each in report.engines if each.healed
    ]
    return section("Engines", table("Engines and sessions", head, rows, numeric=(4, 5), sortable=True), *healed)


def engine_row(found: EngineSummary, ran: bool) -> tuple[str, ...]:
    return (
        found.target,
        badge("run", "good") if ran else badge("not run here"),
        found.precision,
        f"{found.builder} {found.builder_version}",
        sorted_by(found.bytes, size_of(found.bytes)),
        number(found.seconds, 1, "s"),
        digest(found.sha256),
    )


def precision(report: Report) -> Markup:
    """What every engine really computes in."""
    if not report.audits:
        return section("Precision", note("No engine was audited."))
    head = ("engine", "asked for", "read from", "multiply-adds", "weight bytes", "reformats", "layers")
    rows = [
        (
            *(each.target, each.precision, each.source, parts(each.multiply_adds), parts(each.bytes)),
            *(number(count, 0) for count in (each.reformats, each.layers)),
        )
        for each in report.audits
    ]
    details = [note(f"{each.target} {each.precision}: {each.detail}.") for each in report.audits]
    return section(
        "Precision", table("Shares by precision", head, rows, numeric=(5, 6), sortable=True), *dict.fromkeys(details)
    )


def parts(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share(part)}" for name, part in shares.items()) or "–"


def provenance(report: Report) -> Markup:
    """Where all of it comes from: digests, versions, machine."""
    digests = {
        "this report": report.digest if report.digest != ZERO_DIGEST else None,
        "made from the bundle": report.made_from,
        "its model, in canonical form": report.certificate.level0.shipped_digest,
    }
    rows = [(name, tag("code", value)) for name, value in digests.items() if value]
    made = {"data": report.data, "written": report.created, "hardedge": report.hardedge, **report.machine}
    explained = "Digests show a change in any file; without a signature they do not show who made it."
    return section("Provenance", table("SHA-256", ("of", "digest"), rows), facts(made.items()), note(explained))
