"""The report as one self-contained HTML page: verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from hardedge.contracts import Report
from hardedge.deploy.report import sections as body
from hardedge.deploy.report.certificate import certificate_section
from hardedge.deploy.report.findings import verdict_words
from hardedge.deploy.report.hard_pixels import hard_pixels_section
from hardedge.deploy.report.pictures import SamplePictures, pictures_section
from hardedge.deploy.report.tradeoffs import tradeoffs_section
from hardedge.deploy.report.verdict_text import verdict_sentences
from hardedge.pages.markup import Markup, Section, anchor, facts_list, join_markup, number_text, tag
from hardedge.pages.page import page

__all__ = ["SamplePictures", "report_html"]


def report_html(report: Report, samples: Sequence[SamplePictures]) -> str:
    """The page, complete in itself: no request, images, plots and script inside."""
    sections = (
        body.gates_section(report),
        certificate_section(report),
        body.parity_section(report),
        body.consistency_section(report),
        body.classes_section(report),
        hard_pixels_section(report),
        body.latency_section(report),
        tradeoffs_section(report),
        body.engines_section(report),
        body.precision_section(report),
        pictures_section(report, samples),
        body.provenance_section(report),
    )
    verdict = verdict_words(report, verdict_sentences(report))
    main = tag("main", top_section(report), verdict, key_facts(report), contents_list(sections), *sections)
    footer = tag("footer", f"hardedge {report.hardedge} · {report.created} · the same in report.json, for machines")
    return page(f"{report.verdict.upper()}: {report.network.name} · {report.data}", main, footer)


def top_section(report: Report) -> Markup:
    kicker = tag("p", f"hardedge report · {report.created}", class_="kicker")
    return tag("header", kicker, tag("h1", f"{report.network.name} · {report.data}"))


def key_facts(report: Report) -> Markup:
    """The few facts that one looks for first."""
    census = report.certificate.level1.shipped
    found = [
        ("mIoU of the reference", number_text(report.metrics.miou, 2, "%")),
        ("classes", str(report.task.num_classes)),
        ("loss", tag("code", report.loss)),
        ("training-only branches", join_markup((tag("code", name) for name in report.branches), ", ") or "none"),
        ("parameters", number_text(census.parameters / 1e6, 2, "M")),
    ]
    return tag("section", tag("div", facts_list(found), class_="key"), aria_label="Key facts")


def contents_list(sections: Sequence[Section]) -> Markup:
    links = (tag("a", each.heading, href=f"#{anchor(each.heading)}") for each in sections)
    return tag("nav", *links, aria_label="Contents")
