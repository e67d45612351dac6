"""Writes a dossier: why a network may be released, as files that can be archived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from hardedge.artefact import require_free, staged_directory
from hardedge.contracts import Bundle, Claim, Dossier, Verdict, load, seal, write_atomically
from hardedge.cyclonedx_json import FILE as COMPONENTS
from hardedge.cyclonedx_json import require_cyclonedx
from hardedge.deploy.bundles.signing import sign
from hardedge.deploy.dossier.card import card_markdown, card_parts
from hardedge.deploy.dossier.claims import FiledReport, claims_of, read_reports
from hardedge.deploy.dossier.confidence import confidence_part
from hardedge.deploy.dossier.document import Part, Table, parts_html
from hardedge.deploy.dossier.parts_list import runtime_components
from hardedge.errors import BadInput
from hardedge.pages.markup import tag
from hardedge.pages.page import page
from hardedge.paths import StrPath, local_path, local_paths, optional_path
from hardedge.version import __version__

_WORST_FIRST: Final[tuple[Verdict, ...]] = ("fail", "inconclusive", "pass")


def write_dossier(
    reports: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    bundle: StrPath | None = None,
    owner: str | None = None,
    intended_use: str | None = None,
    key: StrPath | None = None,
    force: bool = False,
) -> Dossier:
    """Claims with evidence, model card, component lists and the tool's own error rates, from reports on one bundle.

    With `bundle` its calibration is described and its component list is copied; with `key` the dossier is signed.
    Raises BadInput for what is no report, for reports on different bundles, and for another bundle than theirs;
    Unavailable without the extra `components`.
    """
    directories, out = local_paths(reports), local_path(out)
    bundle_path, key = optional_path(bundle), optional_path(key)
    require_cyclonedx()
    require_free(out, force, [*directories, *([bundle_path] if bundle_path else [])])
    filed = read_reports(tuple(directories))
    opened = _read_bundle(bundle_path, filed) if bundle_path else None
    first = filed[0].report
    dossier = Dossier(
        schema_id=Dossier.SCHEMA,
        hardedge=__version__,
        made_from=first.made_from,
        files={},
        verdict=next(verdict for verdict in _WORST_FIRST if verdict in [each.report.verdict for each in filed]),
        reports=tuple(each.report.digest for each in filed),
        claims=tuple(claim for each in filed for claim in claims_of(each)),
        owner=owner,
        intended_use=intended_use,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    with staged_directory(out, force=force) as partial:
        _write_pages(partial, dossier, filed, opened)
        write_atomically(partial / "runtime.cdx.json", runtime_components([each.report for each in filed]).encode())
        if bundle_path and (bundle_path / COMPONENTS).is_file():
            write_atomically(partial / "build.cdx.json", (bundle_path / COMPONENTS).read_bytes())
        sealed = seal(partial, dossier)
        if key:
            sign(partial, key)
    return sealed


def _read_bundle(path: Path, filed: Sequence[FiledReport]) -> Bundle:
    found = load(Bundle, path)
    if found.digest != filed[0].report.made_from:
        raise BadInput(
            f"{path} is another bundle than the one that {filed[0].directory} is about. Give that bundle, or none."
        )
    return found


def _write_pages(partial: Path, dossier: Dossier, filed: Sequence[FiledReport], bundle: Bundle | None) -> None:
    reports = [each.report for each in filed]
    title = f"{reports[0].network.name} on {reports[0].data}"
    card = card_parts(dossier, reports, bundle)
    write_atomically(partial / "model-card.md", card_markdown(dossier, reports, bundle).encode())
    write_atomically(partial / "model-card.html", _page(f"Model card: {title}", dossier, card).encode())
    parts = [_claims_part(dossier.claims), confidence_part(), *card]
    write_atomically(partial / "dossier.html", _page(f"{dossier.verdict.upper()}: {title}", dossier, parts).encode())


def _claims_part(claims: Sequence[Claim]) -> Part:
    rows = tuple(
        (
            *(claim.requirement or "", claim.claim, claim.check, claim.status, claim.found),
            f"{claim.evidence.report}/{claim.evidence.file}, sha256 {claim.evidence.sha256[:16]}...",
        )
        for claim in claims
    )
    head = ("requirement", "claim", "check", "result", "found", "evidence")
    table = Table("Every check of the reports, with those that were not run", head, rows)
    return Part("Claims and evidence", (), (table,))


def _page(title: str, dossier: Dossier, parts: Sequence[Part]) -> str:
    top = tag("header", tag("p", f"hardedge dossier · {dossier.created}", class_="kicker"), tag("h1", title))
    footer = tag("footer", f"hardedge {dossier.hardedge} · the claims are in dossier.json, for machines")
    return page(title, tag("main", top, *parts_html(parts)), footer)
