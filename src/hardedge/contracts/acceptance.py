"""What `hardedge acceptance` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from hardedge.contracts.base import Amount, Contract, Verdict


@dataclass(frozen=True, kw_only=True)
class AcceptanceCheck(Contract):
    """One part on one engine: what was found, and what it proves where it holds.

    *measured* is a number that decides nothing here, such as a latency; of what was *not run*, `found` says why.
    """

    target: str
    precision: str
    part: str
    status: Literal["pass", "fail", "measured", "not run"]
    found: str
    proves: str


@dataclass(frozen=True, kw_only=True)
class Acceptance(Contract):
    """What works on a machine: every part on every engine. No path, host or user name is in it.

    `bundle` is the digest of the bundle that was run, `quick` whether with few repetitions.
    """

    SCHEMA: ClassVar[str] = "hardedge.acceptance/1"

    schema_id: str
    hardedge: str
    verdict: Verdict
    bundle: str
    quick: bool
    checks: tuple[AcceptanceCheck, ...]
    machine: dict[str, str]
    seconds: Amount
    created: str
