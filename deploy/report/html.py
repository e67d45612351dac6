"""The report as one self-contained HTML page: verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hardedge.contracts import Report
from hardedge.deploy.report import sections as body
from hardedge.deploy.report.certificate import certificate
from hardedge.deploy.report.findings import verdict
from hardedge.deploy.report.hard_pixels import hard_pixels
from hardedge.deploy.report.pictures import Sample, pictures
from hardedge.deploy.report.tradeoffs import tradeoffs
from hardedge.pages.markup import Markup, anchor, facts, joined, number, tag
from hardedge.pages.page import page

__all__ = ["Sample", "html"]

PARTS: Final = (
    "Gates",
    "Certificate",
    "Parity",
    "Classes",
    "Hard and stable pixels",
    "Latency",
    "Trade-offs",
    "Engines",
    "Precision",
    "Pictures",
    "Provenance",
)


def html(report: Report, samples: Sequence[Sample]) -> str:
    """The page, complete in itself: no request, images, plots and script inside."""
    sections = (
        body.gates(report),
        certificate(report),
        body.parity(report),
        body.classes(report),
        hard_pixels(report),
        body.latency(report),
        tradeoffs(report),
        body.engines(report),
        body.precision(report),
        pictures(report, samples),
        body.provenance(report),
    )
    main = tag("main", top(report), verdict(report), key_facts(report), contents(), *sections)
    footer = tag("footer", f"hardedge {report.hardedge} · {report.created} · the same in report.json, for machines")
    return page(f"{report.verdict.upper()}: {report.network.name} · {report.data}", main, footer)


def top(report: Report) -> Markup:
    kicker = tag("p", f"hardedge report · {report.created}", class_="kicker")
    return tag("header", kicker, tag("h1", f"{report.network.name} · {report.data}"))


def key_facts(report: Report) -> Markup:
    """The few facts that one looks for first."""
    census = report.certificate.level1.shipped
    found = [
        ("mIoU of the reference", number(report.metrics.miou, 2, "%")),
        ("classes", str(report.task.num_classes)),
        ("loss", tag("code", report.loss)),
        ("training-only branches", joined((tag("code", name) for name in report.branches), ", ") or "none"),
        ("parameters", number(census.parameters / 1e6, 2, "M")),
    ]
    return tag("section", tag("div", facts(found), class_="key"), aria_label="Key facts")


def contents() -> Markup:
    links = (tag("a", name, href=f"#{anchor(name)}") for name in PARTS)
    return tag("nav", *links, aria_label="Contents")
