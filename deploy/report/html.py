"""The report as one self-contained HTML page: verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hardedge.contracts import Report
from hardedge.deploy.report import sections as body
from hardedge.deploy.report.certificate import certificate_section
from hardedge.deploy.report.confusion_map import confusions_section
from hardedge.deploy.report.findings import findings_section, not_run_section
from hardedge.deploy.report.first_screen import number_tiles, verdict_banner
from hardedge.deploy.report.gallery import gallery_section
from hardedge.deploy.report.hard_pixels import hard_pixels_section
from hardedge.deploy.report.page_parts import PageParts
from hardedge.deploy.report.pictures import pictures_section
from hardedge.deploy.report.tradeoffs import tradeoffs_section
from hardedge.pages.curves import training_section
from hardedge.pages.markup import Markup, Section, anchor, fold_section, tag
from hardedge.pages.page import page

NOTHING: Final = PageParts()


def report_html(report: Report, shown: PageParts = NOTHING) -> str:
    """The page, complete in itself: no request, images, plots and script inside.

    Where a part is not there, its section says so.
    """
    unfolded = (
        pictures_section(report, shown.samples, anchored=not shown.shots),
        body.classes_section(report),
        confusions_section(report, shown.counts, shown.linked),
        gallery_section(report, shown.shots),
        findings_section(report),
        body.gates_section(report),
        body.parity_section(report),
        body.consistency_section(report),
        hard_pixels_section(report),
        body.latency_section(report),
        tradeoffs_section(report, shown.pareto),
        training_section(shown.training),
    )
    folded = (
        fold_section(certificate_section(report), report.certificate.level0.status),
        fold_section(not_run_section(report)),
        fold_section(body.engines_section(report)),
        fold_section(body.precision_section(report)),
        fold_section(body.provenance_section(report)),
    )
    sections = (*unfolded, *folded)
    first = (top_section(report), verdict_banner(report), number_tiles(report), contents_list(sections))
    footer = tag("footer", f"hardedge {report.hardedge} · {report.created} · the same in report.json, for machines")
    title = f"{report.verdict.upper()}: {report.network.name} · {report.data}"
    return page(title, tag("main", *first, *sections), footer)


def top_section(report: Report) -> Markup:
    kicker = tag("p", f"hardedge report · {report.created}", class_="kicker")
    return tag("header", kicker, tag("h1", f"{report.network.name} · {report.data}"))


def contents_list(sections: Sequence[Section]) -> Markup:
    links = (tag("a", each.heading, href=f"#{anchor(each.heading)}") for each in sections)
    return tag("nav", *links, aria_label="Contents")
