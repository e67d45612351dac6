"""What comparing two reports finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardedge.contracts.base import (
    Amount,
    ClassInfo,
    Contract,
    Count,
    Interval,
    Number,
    Percent,
    Points,
    Share,
    Verdict,
)

RealDifference = Literal["better", "worse", "undecided", "equal", "not in the labels"]


@dataclass(frozen=True, kw_only=True)
class ComparedRun(Contract):
    """One of the two reports: where it lies, its digest and its bundle's, and what was trained and measured."""

    directory: str
    digest: str
    made_from: str | None
    verdict: Verdict
    network: str
    loss: str
    branches: tuple[str, ...]
    data: str
    machine: dict[str, str]
    created: str
    hardedge: str


@dataclass(frozen=True, kw_only=True)
class ScoreDifference(Contract):
    """A class's IoU, or the mIoU, of both runs in percent, and B minus A in percent points.

    `interval` is the 95 % paired bootstrap of the difference, of this row alone. `p` is two-sided, that of a class
    Holm-corrected over the classes that were tested; null where nothing was. `images` are those in which the runs
    differ: below five of them nothing is decided. `better` and `worse` (of B) mean p < 0.05.
    """

    name: str
    a: Percent | None
    b: Percent | None
    difference: Points | None
    interval: Interval | None
    p: Share | None
    status: RealDifference
    images: Count


@dataclass(frozen=True, kw_only=True)
class EngineDifference(Contract):
    """One engine of A against one of B on `images` test images; p-values are corrected over `tested` classes."""

    a: str
    b: str
    images: Count
    miou: ScoreDifference
    per_class: tuple[ScoreDifference, ...]
    tested: Count


@dataclass(frozen=True, kw_only=True)
class LatencyPair(Contract):
    """Medians in milliseconds of two runs that were not interleaved: shown, never judged.

    `change` is that of B over A in percent; null where they are not comparable, and `detail` says why.
    """

    a: str
    b: str
    p50_a: Amount
    p50_b: Amount
    change: Number | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class Comparison(Contract):
    """What `hardedge report A B` found, on the test images that both share; `left_out` are those that they do not.

    The first of `engines` is the reference run (torch); `unpaired` are engines that only one run has.
    """

    a: ComparedRun
    b: ComparedRun
    classes: tuple[ClassInfo, ...]
    images: Count
    left_out: Count
    engines: tuple[EngineDifference, ...]
    unpaired: tuple[str, ...]
    latency: tuple[LatencyPair, ...]
    created: str
