"""The identity certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hardedge.contracts.base import Amount, Contract, Count, Integer, Interval, Status
from hardedge.contracts.models import Complexity

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Check(Contract):
    """One check's answer, and in words what it rests on (for `not run here`: why)."""

    status: Status
    detail: str


@dataclass(frozen=True, kw_only=True)
class EngineArms(Contract):
    """The sha256 of one target's TensorRT-RTX engine, for the shipped file and for the plain network."""

    target: str
    shipped: str
    plain: str


@dataclass(frozen=True, kw_only=True)
class Level0(Contract):
    """Identity. `status` is that of the ONNX digests; the engines have their own.

    `plain_digest` is null for a network without a checkpoint: there is no plain one to compare with.
    """

    status: Status
    detail: str
    shipped_digest: str
    plain_digest: str | None
    rtx_engines: Check
    engines: tuple[EngineArms, ...]


@dataclass(frozen=True, kw_only=True)
class Level1(Contract):
    """Equal parameters, multiply-adds, nodes, operators, inputs and outputs; `plain` is null without a checkpoint."""

    status: Status
    detail: str
    shipped: Complexity
    plain: Complexity | None


@dataclass(frozen=True, kw_only=True)
class MachineLoad(Contract):
    """The cores that other processes kept busy before, during and after a measurement, of `cores`."""

    cores: Count
    before: Amount
    during: Amount
    after: Amount


@dataclass(frozen=True, kw_only=True)
class LatencyComparison(Contract):
    """The latency of one arm over another's: ratio of medians with its interval, and what follows.

    `processes` are those that the session pairs ran in, `seed` that of the blocks' orders (numpy's default_rng of it
    and the pair's number), `load` what other processes took; null where it is not known, as in earlier reports.
    """

    arm: str
    ratio: Amount
    interval: Interval
    status: Status
    detail: str
    sessions: Count
    blocks: Count
    blocks_to_decide: Count | None
    processes: Count | None = None
    seed: Integer | None = None
    load: MachineLoad | None = None


@dataclass(frozen=True, kw_only=True)
class Level2(Contract):
    """Latency: implied by level 0, or the equivalence test; the noise floor and the positive control beside it."""

    status: Status
    detail: str
    noise_floor: LatencyComparison | None
    control: LatencyComparison | None
    shipped: LatencyComparison | None


@dataclass(frozen=True, kw_only=True)
class Certificate(Contract):
    """The identity certificate: the shipped file against the plain network built and exported in a new process.

    Export writes levels 0 and 1 to `certificate.json`; deploy measures level 2, so there it is `not run here`.
    """

    FILE: ClassVar[str] = "certificate.json"

    level0: Level0
    level1: Level1
    level2: Level2


NO_CHECKPOINT = "no checkpoint: a network from elsewhere has no plain one to compare with"
