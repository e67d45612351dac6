"""What training writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hardedge.contracts.base import (
    Amount,
    Contract,
    Count,
    HardnessSource,
    Integer,
    Json,
    Manifest,
    NetworkSpec,
    Normalisation,
    Percent,
    SegmentationScore,
    Task,
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Manifest):
    """A trained network. `recipe` is train's own record, read by train alone.

    `inputs` are the digests of the other artefacts that training read, by name. `doubts` say what the score hides: one
    class labelled, or predicted, throughout; null in checkpoints of earlier versions.
    """

    FILE: ClassVar[str] = "checkpoint.json"
    SCHEMA: ClassVar[str] = "hardedge.checkpoint/1"
    MADE_BY: ClassVar[str] = "hardedge train"

    task: Task
    network: NetworkSpec
    normalisation: Normalisation
    recipe: dict[str, Json]
    inputs: dict[str, str]
    loss: str
    branches: tuple[str, ...]
    seed: Integer
    steps: Count
    best_step: Count
    validation: SegmentationScore
    batchnorm_reestimated: bool
    hardness: HardnessSource
    data: str
    data_digest: str
    torch: str
    seconds: Amount
    doubts: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class EdgeScore(Contract):
    """F-score of predicted class edges in percent: of each class (null: it has none), and the mean of these."""

    mean_f: Percent
    per_class: dict[str, Percent | None]


@dataclass(frozen=True, kw_only=True)
class EdgeNetworkManifest(Manifest):
    """A network that finds the classes' edges in masks; the loss semeda compares masks in its features."""

    FILE: ClassVar[str] = "edge_network.json"
    SCHEMA: ClassVar[str] = "hardedge.edge-network/1"
    MADE_BY: ClassVar[str] = "hardedge edges"

    task: Task
    seed: Integer
    steps: Count
    validation: EdgeScore
    data: str
    data_digest: str
    torch: str
    seconds: Amount
