"""What tune works on and keeps on disk: its record in the bundle, and its finished steps while it runs."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import onnx

from hardedge.contracts import (
    Bundle,
    Contract,
    ConversionAgreement,
    LatencyComparison,
    read_json,
    to_json,
    write_atomically,
)
from hardedge.data.dataset import Dataset
from hardedge.export.precisions.accuracy import PrecisionReference

LOW, MIXED = "int8", "mixed"


Measure: TypeAlias = Literal["miou-drop", "latency"]


@dataclass(frozen=True, kw_only=True)
class NodeError(Contract):
    """A node of the INT8 file: the logits' root mean square error when it alone is quantised, its multiply-adds."""

    node: str
    operator: str
    error: float
    multiply_adds: int


@dataclass(frozen=True, kw_only=True)
class Step(Contract):
    """One mixture that was measured: the first `kept` nodes of the order in FP16, the rest of them in INT8."""

    kept: int
    int8_share: float
    agreement: ConversionAgreement


@dataclass(frozen=True, kw_only=True)
class MixtureLatency(Contract):
    """The latency over FP32's of the mixture with the first `kept` nodes of the order in FP16."""

    kept: int
    comparison: LatencyComparison


@dataclass(frozen=True, kw_only=True)
class Tuning(Contract):
    """How model.mixed.onnx was found: the goal, on which images, in which order, and every step.

    The goal is points of mIoU or, by `measure`, a share of FP32's time. With `target`, each step's latency on it.
    """

    FILE: ClassVar[str] = "tuning.json"

    made_from: str
    goal: float
    split: str
    images: int
    order: tuple[NodeError, ...]
    steps: tuple[Step, ...]
    chosen: int
    target: str | None = None
    latencies: tuple[MixtureLatency, ...] = ()
    measure: Measure = "miou-drop"


class Progress:
    """Finished steps in a folder beside the output, so that a killed search goes on where it stopped.

    They hold for one key (bundle, data set, version): another key empties the folder.
    """

    def __init__(self, folder: Path, key: dict[str, str]) -> None:
        self.folder = folder
        known = folder / "key.json"
        if not known.is_file() or json.loads(known.read_text()) != key:
            self.clear()
            folder.mkdir(parents=True)
            write_atomically(known, json.dumps(key).encode())

    def errors(self) -> dict[str, float]:
        """The nodes' errors that are known, by name."""
        path = self.folder / "errors.json"
        known: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
        return known

    def save_errors(self, errors: dict[str, float]) -> None:
        write_atomically(self.folder / "errors.json", json.dumps(errors).encode())

    def step(self, kept: int) -> Step | None:
        """The step with this number of nodes in FP16, if it was measured."""
        path = self.folder / f"step{kept}.json"
        return read_json(Step, path) if path.is_file() else None

    def save_step(self, step: Step) -> None:
        write_atomically(self.folder / f"step{step.kept}.json", to_json(step).encode())

    def latency(self, target: str, kept: int) -> MixtureLatency | None:
        """The mixture's latency on the target, if it was measured."""
        path = self._latency_path(target, kept)
        return read_json(MixtureLatency, path) if path.is_file() else None

    def save_latency(self, target: str, found: MixtureLatency) -> None:
        write_atomically(self._latency_path(target, found.kept), to_json(found).encode())

    def _latency_path(self, target: str, kept: int) -> Path:
        return self.folder / f"latency-{target.replace(':', '-')}-{kept}.json"

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Search:
    """What is searched: the bundle, its INT8 model, the images that are measured, and the steps finished before."""

    directory: Path
    bundle: Bundle
    model: onnx.ModelProto
    dataset: Dataset
    reference: PrecisionReference
    progress: Progress
