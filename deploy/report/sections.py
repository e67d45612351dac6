"""The body of the report: gates, parity, classes, latency, engines, provenance; a function each."""

from __future__ import annotations

from hardedge.contracts import (
    ZERO_DIGEST,
    ClassParity,
    EngineSummary,
    Interval,
    Latency,
    Parity,
    Report,
    Task,
)
from hardedge.deploy.engines.fp32_fallback import fallback_text
from hardedge.deploy.latency.sensors import sensor_text as read_as
from hardedge.deploy.report.findings import NOT_COMPARED, VERIFY, not_run, reference_of
from hardedge.pages.charts import histogram_chart
from hardedge.pages.glossary import explained
from hardedge.pages.markup import (
    Markup,
    Section,
    as_sentence,
    badge,
    class_name,
    digest_text,
    facts_list,
    html_table,
    join_markup,
    note_line,
    number_text,
    percent_text,
    section,
    signed_number,
    size_text,
    sorted_by,
    tag,
)


def gates_section(report: Report) -> Section:
    if not report.gates:
        return section(
            "Gates", note_line("No gate was asked for. Set one with --max-miou-drop, --max-overhead or --require.")
        )
    named = any(gate.requirement for gate in report.gates)
    head = ("gate", "status", "limit", "found", *(["requirement"] if named else []))
    rows = [
        (
            *(tag("code", gate.name), badge(gate.status), gate.limit, gate.found),
            *([gate.requirement or ""] if named else []),
        )
        for gate in report.gates
    ]
    return section("Gates", html_table("Limits that were asked for", head, rows))


def parity_section(report: Report) -> Section:
    """mIoU and agreement of every target that ran."""
    if not report.parity:
        return section("Parity", note_line(NOT_COMPARED), note_line(f"Decided by: {VERIFY}"))
    agreement = ("pixels equal", "near edges", "golden")
    head = ("target", "status", "reference mIoU", "mIoU", "difference [interval]", "margin", *agreement)
    caption = f"Masks of each target against {reference_of(report)}, on {report.parity[0].images} test images"
    unit = (
        f"mIoU in percent; difference in points with its {report.parity[0].interval.confidence:g} % interval for "
        "images like these, whose lower end must lie above −margin. "
        "Near edges: pixels equal within 3 px of a class boundary."
    )
    details = [note_line(f"{each.target} {each.precision}: {each.detail}") for each in report.parity if each.detail]
    rows = [parity_row(each) for each in report.parity]
    table = html_table(caption, head, rows, numeric=range(2, 9), sortable=True)
    return section("Parity", table, note_line(explained(unit)), *details)


def parity_row(found: Parity) -> tuple[str, ...]:
    return (
        f"{found.target} {found.precision}",
        badge(found.status),
        number_text(found.miou_reference),
        number_text(found.miou),
        f"{signed_number(found.difference)} "
        f"[{signed_number(found.interval.low)}, {signed_number(found.interval.high)}]",
        number_text(found.margin),
        percent_text(found.pixel_agreement),
        percent_text(found.boundary_agreement),
        percent_text(found.golden_agreement),
    )


def consistency_section(report: Report) -> Section:
    """Each engine's masks in batches of every size and order, and at every size of images."""
    if not report.consistency:
        return section("Batches and sizes", note_line("No engine was run in batches."))
    head = ("engine", "batches", "masks", "changed", "pixels equal", "margin", "sizes", "status", "clear pixels equal")
    rows = [
        (
            f"{each.target} {each.precision}",
            badge(each.slots_status if each.masks else "not run here"),
            number_text(each.masks, 0),
            number_text(each.changed, 0),
            percent_text(each.agreement),
            number_text(each.margin, 4),
            ", ".join(f"{height} × {width}" for height, width in each.sizes) or "–",
            badge(each.sizes_status if each.sizes or each.sizes_status == "fail" else "not run here"),
            percent_text(each.clear),
        )
        for each in report.consistency
    ]
    legend = (
        "Masks of images in batches against those of the images alone; margin: the largest top-2 margin of a pixel "
        "that changed, in logits. Sizes: against model.onnx in onnxruntime on the CPU."
    )
    details = [
        note_line(f"{each.target} {each.precision}: {each.slots_detail}; {each.sizes_detail}.")
        for each in report.consistency
    ]
    table = html_table("One mask in every batch and at every size", head, rows, numeric=(2, 3, 4, 5, 8))
    return section("Batches and sizes", table, note_line(legend), *details)


def classes_section(report: Report) -> Section:
    """Each class under the reference and every target that ran."""
    if not report.parity:
        return section("Classes", reference_classes(report))
    tables = [class_table(each, report.task) for each in report.parity]
    legend = (
        "Bar: IoU on the target; tick: the reference; line: the target's interval for images like these. "
        "p, Holm-corrected: a small one says that the class lost more than the margin."
    )
    return section("Classes", note_line(legend), *tables)


def class_table(found: Parity, task: Task) -> Markup:
    head = (
        "class",
        "IoU, 0 to 100 %",
        "reference",
        "target",
        "95 % interval",
        "difference",
        "pixels equal",
        "p",
        "pixels",
    )
    intervals = found.intervals.per_class if found.intervals else {}
    rows = [class_row(each, task, intervals.get(each.name)) for each in found.per_class]
    caption = f"IoU in percent, {found.target} {found.precision}"
    return tag("div", html_table(caption, head, rows, numeric=range(2, 9), sortable=True), class_="classes")


def class_row(found: ClassParity, task: Task, interval: Interval | None) -> tuple[str, ...]:
    return (
        class_of(task, found.name),
        iou_gauge(found.target, found.reference, interval),
        number_text(found.reference),
        number_text(found.target),
        interval_ends(interval),
        "–" if found.target is None or found.reference is None else signed_number(found.target - found.reference),
        percent_text(found.pixel_agreement),
        number_text(found.p_worse, 3),
        number_text(found.labelled, 0),
    )


def class_of(task: Task, name: str) -> str:
    """A class of the task by colour and name; the name alone of what is none."""
    index = next((index for index, info in enumerate(task.classes) if info.name == name), None)
    return name if index is None else class_name(task.classes[index], index)


def reference_classes(report: Report) -> Markup:
    scores = report.metrics.per_class
    intervals = report.intervals.per_class if report.intervals else {}
    rows = [
        (class_of(report.task, name), iou_gauge(iou, None, each), number_text(iou), interval_ends(each))
        for name, iou in scores.items()
        for each in (intervals.get(name),)
    ]
    head = ("class", "IoU, 0 to 100 %", "reference", "95 % interval")
    inner = html_table(f"IoU in percent, {reference_of(report)}", head, rows, numeric=(2, 3), sortable=True)
    return tag("div", inner, class_="classes")


def interval_ends(interval: Interval | None) -> str:
    return f"{number_text(interval.low)} to {number_text(interval.high)}" if interval else "–"


def iou_gauge(value: float | None, mark: float | None, interval: Interval | None = None) -> Markup:
    """A bar for an IoU in percent with a tick for another and its interval as a line; in words where there is none."""
    if value is None:
        return tag("span", "not in the labels", class_="note")
    bar = tag("i", style=f"width:{value:.2f}%")
    tick = tag("u", style=f"left:{mark:.2f}%") if mark is not None else None
    reach = None
    if interval:
        reach = tag("s", style=f"left:{interval.low:.2f}%;width:{interval.high - interval.low:.2f}%")
    return sorted_by(value, tag("span", bar, reach, tick, class_="gauge", aria_hidden="true"))


def latency_section(report: Report) -> Section:
    if not report.latency:
        return section("Latency", note_line("No target was timed on this machine."))
    head = ("target", "image", "runs", "p50", "p90", "p99", "images/s at p50")
    rows = [latency_row(each) for each in report.latency]
    times = html_table("Latency of one image, batch 1", head, rows, numeric=range(1, 7), sortable=True)
    plots = [
        tag("figure", tag("figcaption", f"{each.target} {each.precision}"), histogram_chart(each))
        for each in report.latency
        if each.samples
    ]
    sensors = [
        note_line(
            f"{each.target} {each.precision}; power, clock, temperature while it was timed: {read_as(each.sensors)}."
        )
        for each in report.latency
        if each.sensors
    ]
    return section("Latency", times, *sensors, tag("div", *plots, class_="plots"))


def latency_row(found: Latency) -> tuple[str, ...]:
    height, width = found.size
    times = (number_text(value, 2, "ms") for value in found.percentiles.values())
    name, size = f"{found.target} {found.precision}", f"{height} × {width}"
    return (name, size, number_text(found.runs, 0), *times, number_text(1000 / found.p50, 1))


def engines_section(report: Report) -> Section:
    if not report.engines:
        return section("Engines", note_line("No engine was built."))
    unrun = not_run(report)
    head = ("target", "on this machine", "precision", "builder", "size", "built in", "SHA-256")
    rows = [engine_row(each, f"{each.target} ({each.precision})" not in unrun) for each in report.engines]
    healed = [
        note_line(f"{each.target} {each.precision}: {fallback_text(each.healed)}")
        for each in report.engines
        if each.healed
    ]
    return section("Engines", html_table("Engines and sessions", head, rows, numeric=(4, 5), sortable=True), *healed)


def engine_row(found: EngineSummary, ran: bool) -> tuple[str, ...]:
    return (
        found.target,
        badge("run", "good") if ran else badge("not run here"),
        found.precision,
        f"{found.builder} {found.builder_version}",
        sorted_by(found.bytes, size_text(found.bytes)),
        number_text(found.seconds, 1, "s"),
        digest_text(found.sha256),
    )


def precision_section(report: Report) -> Section:
    """What every engine really computes in."""
    if not report.audits:
        return section("Precision", note_line("No engine was audited."))
    head = ("engine", "asked for", "read from", "multiply-adds", "weight bytes", "reformats", "layers")
    rows = [
        (
            *(each.target, each.precision, each.source, parts(each.multiply_adds), parts(each.bytes)),
            *(number_text(count, 0) for count in (each.reformats, each.layers)),
        )
        for each in report.audits
    ]
    told: dict[str, list[str]] = {}
    for each in report.audits:
        told.setdefault(each.detail, []).append(f"{each.target} {each.precision}")
    details = [note_line(f"{as_sentence(detail)} ({', '.join(engines)})") for detail, engines in told.items() if detail]
    return section(
        "Precision",
        html_table("Shares by precision", head, rows, numeric=(5, 6), sortable=True),
        *details,
    )


def parts(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {percent_text(part)}" for name, part in shares.items()) or "–"


def provenance_section(report: Report) -> Section:
    """Where all of it comes from: digests, versions, machine."""
    digests = {
        "this report": report.digest if report.digest != ZERO_DIGEST else None,
        "made from the bundle": report.made_from,
        "its model, in canonical form": report.certificate.level0.shipped_digest,
    }
    rows = [(name, tag("code", value)) for name, value in digests.items() if value]
    branches = join_markup((tag("code", name) for name in report.branches), ", ") or "none"
    trained = {"network": report.network.name, "loss": tag("code", report.loss), "training-only branches": branches}
    about = {"data": report.data, "classes": str(report.task.num_classes), "written": report.created}
    made = {**trained, **about, "hardedge": report.hardedge, **report.machine}
    legend = "Digests show a change in any file; without a signature they do not show who made it."
    table = html_table("SHA-256", ("of", "digest"), rows)
    return section("Provenance", table, facts_list(made.items()), note_line(legend))
