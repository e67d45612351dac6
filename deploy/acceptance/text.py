"""The acceptance as a table for a terminal."""

from __future__ import annotations

from itertools import groupby

from hardedge.contracts import Acceptance, AcceptanceCheck

SIGNS = {"pass": "ok", "fail": "FAIL", "measured": "--", "not run": "not run"}


def acceptance_text(found: Acceptance) -> str:
    """Engines with their parts; what was not run once a reason, with what it would prove."""
    lines: list[str] = []
    for engine, checks in groupby(found.checks, lambda check: f"{check.target} {check.precision}"):
        parts = list(checks)
        if all(check.status == "not run" for check in parts):
            lines += [f"{engine}: not run: {check.found}" for check in parts[:1]]
            continue
        lines.append(engine)
        lines += [f"  {SIGNS[check.status]:<8}{check.part:<26}{check.found}" for check in parts]
    lines += ["", *_not_proven(found.checks)]
    failed = [f"{check.target} {check.precision}: {check.part}" for check in found.checks if check.status == "fail"]
    said = f"FAIL: {'; '.join(failed)}" if failed else "PASS: every part that ran holds"
    return "\n".join([*lines, said])


def _not_proven(checks: tuple[AcceptanceCheck, ...]) -> list[str]:
    """Parts that ran nowhere, and what they would have proven."""
    ran = {check.part for check in checks if check.status != "not run"}
    rest = {check.part: check for check in checks if check.part not in ran}
    return [f"Not proven here, {part}: {check.proves} ({check.found})." for part, check in rest.items()]
