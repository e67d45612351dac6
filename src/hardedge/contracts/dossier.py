"""What `hardedge dossier` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hardedge.contracts.base import Contract, Manifest, Status, Verdict


@dataclass(frozen=True, kw_only=True)
class Evidence(Contract):
    """Where a result stands: the report's directory, as it was given, a file in it, and that file's sha256."""

    report: str
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Claim(Contract):
    """What is claimed, how it was checked, and what came out; `requirement` is the user's own ID for it, or null."""

    requirement: str | None
    claim: str
    check: str
    status: Status | Verdict
    found: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Dossier(Manifest):
    """Claims and evidence of reports on one bundle, beside dossier.html, model-card.md, model-card.html and *.cdx.json.

    `made_from` is the bundle's digest, `reports` are the digests of the reports. The verdict is the worst of theirs.
    `owner` and `intended_use` are what the user stated, null where nothing was.
    """

    FILE: ClassVar[str] = "dossier.json"
    SCHEMA: ClassVar[str] = "hardedge.dossier/1"
    MADE_BY: ClassVar[str] = "hardedge dossier"

    verdict: Verdict
    reports: tuple[str, ...]
    claims: tuple[Claim, ...]
    owner: str | None
    intended_use: str | None
    created: str
