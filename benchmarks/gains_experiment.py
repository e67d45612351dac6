"""What benchmarks/gains.py keeps of an experiment: its settings, a small JSON a training, the costs of a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gains_rows import ROWS
from measure import Timing

from hardedge.contracts import Contract, read_json
from hardedge.train.studies.scores import Counts

FILE = "experiment.json"


@dataclass(frozen=True, kw_only=True)
class Experiment(Contract):
    """What all rows share; `train_pixels` are the training split's, by class, `data_digest` the data's as it was given.

    Images are resized to `size` first. `backbone` is the sha256 of the file that the backbone starts from, empty for
    random weights. With `hold_out`, schedules are tried on training images whose names begin so. Test images whose
    names begin with `part` are told apart.
    """

    title: str
    classes: tuple[str, ...]
    train_pixels: tuple[int, ...]
    data_digest: str
    size: tuple[int, int] | None
    hold_out: str
    part: str
    network: str
    backbone: str
    steps: int
    learning_rate: float
    batch: int
    crop: tuple[int, int]
    channels_last: bool


@dataclass(frozen=True, kw_only=True)
class Bin(Contract):
    """Labelled pixels by the network's confidence: how many, those that are right, and the sum of the confidences."""

    pixels: int
    right: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Result(Contract):
    """One row trained with one seed: what it did on the part of the test split that is told apart, and on the rest.

    `curve` are the steps at which it was validated, and the mIoU on the validation split in percent. `confidence` are
    15 equal bins over the whole test split.
    """

    row: str
    seed: int
    loss: str
    checkpoint: str
    seconds: float
    machine: dict[str, str]
    curve: tuple[tuple[int, float], ...]
    confidence: tuple[Bin, ...]
    part: Counts
    rest: Counts


@dataclass(frozen=True, kw_only=True)
class Cost(Contract):
    """A step's time over cross-entropy's, with a 95 % interval, and its peak memory over cross-entropy's."""

    time: float
    low: float
    high: float
    memory: float

    @classmethod
    def of(cls, timing: Timing, memory: float) -> Cost:
        return cls(time=timing.ratio, low=timing.low, high=timing.high, memory=memory)


@dataclass(frozen=True, kw_only=True)
class Costs(Contract):
    """The costs by row, those of a second cross-entropy too, and what they hold for."""

    rows: dict[str, Cost]
    machine: dict[str, str]


def result_file(results: Path, row: str, seed: int) -> Path:
    return results / f"{row}-{seed}.json"


def results_of(results: Path) -> dict[str, dict[int, Result]]:
    """What is finished in the directory, by row and seed, in the rows' order."""
    found = {name: sorted(results.glob(f"{name}-*.json")) for name in ROWS}
    every = {name: [read_json(Result, path) for path in paths] for name, paths in found.items()}
    by_row = {name: {each.seed: each for each in results if each.row == name} for name, results in every.items()}
    return {name: dict(sorted(seeds.items())) for name, seeds in by_row.items() if seeds}
