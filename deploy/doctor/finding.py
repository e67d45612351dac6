"""What doctor says of one thing that it looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from hardedge.contracts import Contract

DEPLOY: Final = "hardedge deploy BUNDLE --data DATA --out DIR --target"

Status = Literal["ok", "note", "obstacle"]


@dataclass(frozen=True, kw_only=True)
class MachineFinding(Contract):
    """One thing that was looked at: an obstacle has the command that fixes it; a note keeps nothing from running."""

    topic: str
    status: Status
    found: str
    fix: str | None = None


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers in order: `10.16.1` as (10, 16, 1); (0,) for a text without any."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4]) or (0,)
