"""What verifying writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hardedge.contracts.base import (
    Amount,
    Contract,
    Count,
    HardnessSource,
    Manifest,
    NetworkSpec,
    SegmentationScore,
    Task,
    Verdict,
)
from hardedge.contracts.certificate import Certificate
from hardedge.contracts.engine import FallbackNode, Origin
from hardedge.contracts.measured import Consistency, Latency, Overhead, Parity, PrecisionAudit, ScoreIntervals


@dataclass(frozen=True, kw_only=True)
class Gate(Contract):
    """A limit that the user asked for: what was asked, what was found, and whether it holds.

    `requirement` is the user's own ID of it, from gates.toml; null where none was given.
    """

    name: str
    limit: str
    found: str
    status: Verdict
    requirement: str | None = None


@dataclass(frozen=True, kw_only=True)
class EngineSummary(Contract):
    """One engine of a report: its target, size in bytes and digest of the plan.

    `origin` is where the file that runs comes from; of an engine of unknown origin the certificate says nothing, and
    null stands in reports of earlier versions. `not_run` is why it did not run here, null where it did.
    """

    target: str
    precision: str
    builder: str
    builder_version: str
    bytes: Count
    sha256: str
    seconds: Amount
    healed: tuple[FallbackNode, ...] = ()
    origin: Origin | None = None
    not_run: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report(Manifest):
    """All verdicts on one bundle, beside report.html, junit.xml, summary.md and counts.npz.

    counts.npz has the test images (`ids`, `image_sha256`, `label_sha256`) and the pixels hit, labelled and predicted of
    each class in each of them, int64 [N, C, 3]: `reference`, and `engine_I` for the I-th of `parity`. Which class is
    taken for which is there from 2026-11-30 on, as triplets of an arm: `ARM_pairs` (label, predicted) uint8 [K, 2],
    `ARM_pixels` int64 [K], and where each image's begin, `ARM_starts` int64 [N + 1].
    `broken_off` are the engines, with the reason, that failed while they ran: what was measured before is here, what
    was to be measured of them after it is not, and the verdict is at best inconclusive. With `built_only`, engines that
    did not run here were left out of the gates, as was asked for. `warnings` are what decides no verdict and should be
    looked at, `intervals` those of `metrics`. All three are null in reports of earlier versions, which have no
    `consistency` either. `dominated` are the engines of lower precision that are neither smaller nor faster than a
    better one of their target, in words.
    """

    FILE: ClassVar[str] = "report.json"
    SCHEMA: ClassVar[str] = "hardedge.report/2"
    MADE_BY: ClassVar[str] = "hardedge deploy"

    verdict: Verdict
    task: Task
    network: NetworkSpec
    loss: str
    branches: tuple[str, ...]
    hardness: HardnessSource
    metrics: SegmentationScore
    certificate: Certificate
    parity: tuple[Parity, ...]
    overhead: Overhead
    latency: tuple[Latency, ...]
    engines: tuple[EngineSummary, ...]
    audits: tuple[PrecisionAudit, ...]
    gates: tuple[Gate, ...]
    data: str
    machine: dict[str, str]
    created: str
    broken_off: tuple[str, ...] = ()
    built_only: bool | None = None
    warnings: tuple[str, ...] | None = None
    consistency: tuple[Consistency, ...] = ()
    dominated: tuple[str, ...] = ()
    intervals: ScoreIntervals | None = None
