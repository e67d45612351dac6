"""The body of the report: gates, certificate, parity, classes, latency, engines, provenance; a function each."""

from __future__ import annotations

from collections.abc import Sequence

from hardedge.contracts import (
    ZERO_DIGEST,
    Census,
    Check,
    ClassInfo,
    ClassParity,
    EngineArms,
    Latency,
    LatencyComparison,
    Level0,
    Level1,
    Level2,
    Parity,
    Report,
)
from hardedge.deploy.report_charts import histogram, interval_text, intervals
from hardedge.deploy.report_findings import not_run
from hardedge.deploy.report_markup import (
    Markup,
    badge,
    chip,
    digest,
    facts,
    joined,
    note,
    number,
    section,
    share,
    signed,
    size_of,
    table,
    tag,
)


def gates(report: Report) -> Markup:
    if not report.gates:
        return section(
            "Gates", note("No gate was asked for. Set one with --max-miou-drop, --max-overhead or --require.")
        )
    rows = [(tag("code", gate.name), gate.limit, gate.found, badge(gate.status)) for gate in report.gates]
    return section("Gates", table("Limits that were asked for", ("gate", "limit", "found", "status"), rows))


def certificate(report: Report) -> Markup:
    """The three levels, each with its status and what it rests on."""
    intro = (
        "Two arms: the model that ships, and the plain network, built from its specification and weights in a new "
        "process and exported the same way."
    )
    levels = report.certificate
    return section("Certificate", note(intro), level0(levels.level0), level1(levels.level1), level2(levels.level2))


def level(title: str, check: Check | Level0 | Level1 | Level2, *children: Markup | None) -> Markup:
    head = tag("div", tag("h3", title), badge(check.status), class_="level")
    return tag("div", head, tag("p", check.detail) if check.detail else None, *children)


def level0(found: Level0) -> Markup:
    arms = [("shipped model", digest(found.shipped_digest)), ("plain network", digest(found.plain_digest))]
    graphs = level("Level 0: the same graph", found, facts(arms))
    return tag("div", graphs, level("Level 0: the same engines", found.rtx_engines, engine_arms(found.engines)))


def engine_arms(engines: Sequence[EngineArms]) -> Markup | None:
    if not engines:
        return None
    head = ("target", "shipped model", "plain network", "status")
    rows = [
        (
            each.target,
            digest(each.shipped),
            digest(each.plain),
            badge("identical" if each.shipped == each.plain else "different"),
        )
        for each in engines
    ]
    return table("SHA-256 of the TensorRT-RTX engines of both arms", head, rows)


def level1(found: Level1) -> Markup:
    rows = [
        (name, shipped, plain, badge("identical" if shipped == plain else "different"))
        for name, shipped, plain in zip(CENSUS, census(found.shipped), census(found.plain), strict=True)
    ]
    counts = table("What both graphs are made of", ("", "shipped model", "plain network", "status"), rows)
    return level("Level 1: the same census", found, counts)


CENSUS = ("parameters", "multiply-adds", "nodes", "operators", "inputs", "outputs")


def census(found: Census) -> tuple[str, ...]:
    counts = [number(value, 0) for value in (found.parameters, found.multiply_adds, found.nodes)]
    operators = ", ".join(
        f"{name} {count}" for name, count in sorted(found.operators.items(), key=lambda pair: -pair[1])
    )
    return (*counts, operators, ", ".join(found.inputs), ", ".join(found.outputs))


def level2(found: Level2) -> Markup:
    rows = comparisons(found)
    if not rows:
        return level("Level 2: the same latency", found, note("No latency comparison was measured."))
    caption = "Change of the median latency; shaded: ±1 %, within which two arms count as equivalent"
    plot = tag("figure", tag("figcaption", caption), intervals([(name, row) for name, _, row in rows]))
    return level("Level 2: the same latency", found, plot, comparison_table(rows))


def comparisons(found: Level2) -> list[tuple[str, str, LatencyComparison]]:
    """Name, the status that is hoped for, and the comparison, of those that were measured."""
    rows = [
        ("noise floor", "equivalent", found.noise_floor),
        ("positive control", "different", found.control),
        ("shipped against plain", "equivalent", found.shipped),
    ]
    return [(name, hoped, row) for name, hoped, row in rows if row is not None]


def comparison_table(rows: Sequence[tuple[str, str, LatencyComparison]]) -> Markup:
    head = ("comparison", "arm", "change [interval]", "sessions", "blocks", "expected", "status", "blocks to decide")
    cells = [
        (
            name,
            row.arm,
            interval_text(row),
            str(row.sessions),
            str(row.blocks),
            hoped,
            badge(row.status, "good" if row.status == hoped else "open" if row.status == "inconclusive" else "bad"),
            "–" if row.blocks_to_decide is None else number(row.blocks_to_decide, 0),
        )
        for name, hoped, row in rows
    ]
    return table("Latency comparisons", head, cells, numeric=(2, 3, 4, 7))


def parity(report: Report) -> Markup:
    """mIoU and agreement of every target that ran, and the targets that did not."""
    rest = [note(f"{name}: built, not run here.") for name in not_run(report)]
    if not report.parity:
        return section("Parity", note("No target ran on this machine, so no masks were compared."), *rest)
    head = (
        "target",
        "reference mIoU",
        "mIoU",
        "difference [interval]",
        "margin",
        "pixels equal",
        "near edges",
        "golden",
        "status",
    )
    caption = f"Masks of each target against the torch reference on {report.parity[0].images} test images"
    unit = note(
        f"mIoU in percent; difference in points with its {report.parity[0].interval.confidence:g} % paired bootstrap "
        "interval, whose lower end must lie above −margin. Near edges: pixels equal within 3 px of a class boundary."
    )
    details = [
        tag("p", tag("b", f"{each.target} {each.precision}: "), each.detail) for each in report.parity if each.detail
    ]
    rows = [parity_row(each) for each in report.parity]
    return section("Parity", table(caption, head, rows, numeric=range(1, 8)), unit, *details, *rest)


def parity_row(found: Parity) -> tuple[str, ...]:
    return (
        f"{found.target} {found.precision}",
        number(found.miou_reference),
        number(found.miou),
        f"{signed(found.difference)} [{signed(found.interval.low)}, {signed(found.interval.high)}]",
        number(found.margin),
        share(found.pixel_agreement),
        share(found.boundary_agreement),
        share(found.golden_agreement),
        badge(found.status),
    )


def classes(report: Report) -> Markup:
    """Each class under the reference and every target that ran."""
    colors = {info.name: info for info in report.task.classes}
    if not report.parity:
        return section("Classes", reference_classes(report))
    tables = [class_table(each, colors) for each in report.parity]
    legend = (
        "Bar: IoU on the target; tick: the reference. "
        "p: that the class lost more than the margin, with Holm's correction; small means worse."
    )
    return section("Classes", note(legend), *tables)


def class_table(found: Parity, colors: dict[str, ClassInfo]) -> Markup:
    head = ("class", "reference", "target", "difference", "pixels equal", "p", "IoU, 0 to 100 %")
    rows = [class_row(each, colors.get(each.name)) for each in found.per_class]
    caption = f"IoU in percent, {found.target} {found.precision}"
    return tag("div", table(caption, head, rows, numeric=range(1, 6)), class_="classes")


def class_row(found: ClassParity, info: ClassInfo | None) -> tuple[str, ...]:
    return (
        joined([chip(info) if info else None, found.name]),
        number(found.reference),
        number(found.target),
        "–" if found.target is None or found.reference is None else signed(found.target - found.reference),
        share(found.pixel_agreement),
        number(found.p_worse, 3),
        gauge(found.target, found.reference),
    )


def reference_classes(report: Report) -> Markup:
    colors = {info.name: info for info in report.task.classes}
    scores = report.metrics.per_class
    rows = [
        (joined([chip(colors[name]) if name in colors else None, name]), number(iou), gauge(iou, None))
        for name, iou in scores.items()
    ]
    inner = table("IoU in percent, torch reference", ("class", "reference", "IoU, 0 to 100 %"), rows, numeric=(1,))
    return tag("div", inner, class_="classes")


def gauge(value: float | None, mark: float | None) -> Markup:
    """A bar for an IoU in percent with a tick for another; in words where there is none."""
    if value is None:
        return tag("span", "not in the labels", class_="note")
    bar = tag("i", style=f"width:{value:.2f}%")
    tick = tag("u", style=f"left:{mark:.2f}%") if mark is not None else None
    return tag("span", bar, tick, class_="gauge", aria_hidden="true")


def latency(report: Report) -> Markup:
    if not report.latency:
        return section("Latency", note("No target was timed on this machine."))
    head = ("target", "image", "runs", "p50", "p90", "p99", "images/s at p50")
    rows = [latency_row(each) for each in report.latency]
    times = table("Latency of one image, batch 1", head, rows, numeric=range(1, 7))
    plots = [
        tag("figure", tag("figcaption", f"{each.target} {each.precision}"), histogram(each))
        for each in report.latency
        if each.samples
    ]
    return section("Latency", times, tag("div", *plots, class_="plots"))


def latency_row(found: Latency) -> tuple[str, ...]:
    height, width = found.size
    times = (number(value, 2, "ms") for value in (found.p50, found.p90, found.p99))
    name, size = f"{found.target} {found.precision}", f"{width} × {height}"
    return (name, size, number(found.runs, 0), *times, number(1000 / found.p50, 1))


def engines(report: Report) -> Markup:
    if not report.engines:
        return section("Engines", note("No engine was built."))
    unrun = not_run(report)
    head = ("target", "precision", "builder", "size", "built in", "SHA-256", "on this machine")
    rows = [
        (
            each.target,
            each.precision,
            f"{each.builder} {each.builder_version}",
            size_of(each.bytes),
            number(each.seconds, 1, "s"),
            digest(each.sha256),
            badge("not run here") if f"{each.target} ({each.precision})" in unrun else badge("run", "good"),
        )
        for each in report.engines
    ]
    return section("Engines", table("Engines and sessions", head, rows, numeric=(3, 4)))


def provenance(report: Report) -> Markup:
    """Where all of it comes from: digests, data, recipe facts, machine."""
    chain = [("made from the bundle", digest(report.made_from or "unknown"))]
    if report.digest != ZERO_DIGEST:
        chain.insert(0, ("this report", digest(report.digest)))
    made = [
        *chain,
        ("canonical digest of the shipped model", digest(report.certificate.level0.shipped_digest)),
        ("written", report.created),
        ("hardedge", report.hardedge),
    ]
    explained = "Digests are SHA-256. They show a change in any file; without a signature they do not show who made it."
    return section("Provenance", facts(made), tag("h3", "Machine"), facts(report.machine.items()), note(explained))
