"""The certificate in the report: three levels, each with its status and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from hardedge.contracts import Check, Complexity, EngineArms, LatencyComparison, Level0, Level1, Level2, Report
from hardedge.pages.charts import interval_text, intervals
from hardedge.pages.glossary import explained
from hardedge.pages.markup import (
    Markup,
    Section,
    as_sentence,
    badge,
    digest_text,
    facts_list,
    html_table,
    note_line,
    number_text,
    section,
    tag,
)


def certificate_section(report: Report) -> Section:
    """The three levels, each with its status and what it rests on."""
    intro = (
        "Two arms: the model that ships, and the plain network, built from its specification and weights in a new "
        "process and exported the same way."
    )
    levels = report.certificate
    return section(
        "Certificate",
        note_line(explained(intro)),
        level0_section(levels.level0),
        level1_section(levels.level1),
        level2_section(levels.level2),
    )


def level_section(title: str, check: Check | Level0 | Level1 | Level2, *children: Markup | None) -> Markup:
    head = tag("div", tag("h3", explained(title)), badge(check.status), class_="level")
    return tag("div", head, tag("p", as_sentence(check.detail)) if check.detail else None, *children)


def level0_section(found: Level0) -> Markup:
    arms = [("shipped model", digest_text(found.shipped_digest))]
    arms += [("plain network", digest_text(found.plain_digest))] if found.plain_digest else []
    graphs = level_section("Level 0: graph", found, facts_list(arms))
    return tag("div", graphs, level_section("Level 0: engines", found.rtx_engines, engine_arms(found.engines)))


def engine_arms(engines: Sequence[EngineArms]) -> Markup | None:
    if not engines:
        return None
    head = ("target", "status", "shipped model", "plain network")
    rows = [
        (
            each.target,
            badge("identical" if each.shipped == each.plain else "different"),
            digest_text(each.shipped),
            digest_text(each.plain),
        )
        for each in engines
    ]
    return html_table("SHA-256 of the TensorRT-RTX engines of both arms", head, rows)


def level1_section(found: Level1) -> Markup:
    if found.plain is None:
        counted = zip(CENSUS, complexity_table(found.shipped), strict=True)
        return level_section(
            "Level 1: census", found, html_table("What the graph is made of", ("what", "shipped model"), counted)
        )
    rows = [
        (name, badge("identical" if shipped == plain else "different"), shipped, plain)
        for name, shipped, plain in zip(
            CENSUS, complexity_table(found.shipped), complexity_table(found.plain), strict=True
        )
    ]
    counts = html_table("What both graphs are made of", ("what", "status", "shipped model", "plain network"), rows)
    return level_section("Level 1: census", found, counts)


CENSUS = ("parameters", "multiply-adds", "nodes", "operators", "inputs", "outputs")


def complexity_table(found: Complexity) -> tuple[str, ...]:
    counts = [number_text(value, 0) for value in (found.parameters, found.multiply_adds, found.nodes)]
    operators = ", ".join(
        f"{name}\u00a0{count}" for name, count in sorted(found.operators.items(), key=lambda pair: -pair[1])
    )
    return (*counts, operators, ", ".join(found.inputs), ", ".join(found.outputs))


def level2_section(found: Level2) -> Markup:
    rows = comparison_section(found)
    if not rows:
        return level_section("Level 2: latency", found, note_line("No latency comparison was measured."))
    caption = "Change of the median latency; shaded: ±1 %, within which two arms count as equivalent"
    plot = tag("figure", tag("figcaption", caption), intervals([(name, row) for name, _, row in rows]))
    return level_section("Level 2: latency", found, plot, comparison_table(rows))


def comparison_section(found: Level2) -> list[tuple[str, str, LatencyComparison]]:
    """Name, the status that is hoped for, and the comparison, of those that were measured."""
    rows = [
        ("noise floor", "equivalent", found.noise_floor),
        ("positive control", "different", found.control),
        ("shipped against plain", "equivalent", found.shipped),
    ]
    return [(name, hoped, row) for name, hoped, row in rows if row is not None]


def comparison_table(rows: Sequence[tuple[str, str, LatencyComparison]]) -> Markup:
    head = ("comparison", "status", "expected", "arm", "change [interval]", "sessions", "blocks", "blocks to decide")
    cells = [comparison_row(name, hoped, row) for name, hoped, row in rows]
    details = [note_line(f"{name}: {row.detail}") for name, _, row in rows if row.detail]
    return tag("div", html_table("Latency comparisons", head, cells, numeric=range(4, 8)), *details)


def comparison_row(name: str, hoped: str, found: LatencyComparison) -> tuple[str, ...]:
    tone = "good" if found.status == hoped else "open" if found.status == "inconclusive" else "bad"
    counts = (number_text(count, 0) for count in (found.sessions, found.blocks, found.blocks_to_decide))
    return (explained(name), badge(found.status, tone), hoped, found.arm, interval_text(found), *counts)
