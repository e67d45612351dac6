"""One training of benchmarks/gains.py: by the command line, resumed where it was stopped, judged on the test split."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gains_experiment import Experiment, Result, result_file
from gains_rows import ROWS, Row
from gains_scores import confidence_bins
from measure import machine

from hardedge.contracts import Checkpoint, load, read_json, to_json, write_atomically
from hardedge.data import Dataset
from hardedge.export.graph.network import network_from_checkpoint
from hardedge.train.progress import METRICS
from hardedge.train.state import TRAINING
from hardedge.train.studies.locks import Locks
from hardedge.train.studies.scores import count_scores

RECIPE = "camvid"  # what all rows share but for the settings below
ENET = 1.02  # its class weights are 1 / ln(1.02 + the class's share of the pixels)
SEEDS = 1000  # places of locks for each row
EVALUATIONS = 4  # on the validation split, in equal steps: the curve


@dataclass(frozen=True)
class Work:
    """An experiment with its data, where it trains, and where its small results go."""

    experiment: Experiment
    dataset: Dataset
    backbone: Path | None
    out: Path
    results: Path
    locks: Locks

    def place(self, row: str, seed: int) -> int:
        """Which lock is that training's."""
        return (1 + list(ROWS).index(row)) * SEEDS + seed

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """While this process makes what several trainings need."""
        with self.locks.held(0):
            yield


def loss_of(row: Row, experiment: Experiment, out: Path) -> str:
    pixels = np.array(experiment.train_pixels)
    weights = 1 / np.log(ENET + pixels / pixels.sum())
    return row.loss.format(class_weights=tuple(round(float(weight), 3) for weight in weights), edges=out / "edges")


def settings_of(row: Row, seed: int, experiment: Experiment, out: Path) -> dict[str, str]:
    """The recipe's fields as the command line takes them."""
    return {
        "network": experiment.network,
        "loss": loss_of(row, experiment, out),
        "branches": row.branches,
        "labels": row.labels,
        "steps": str(experiment.steps),
        "evaluate_every": str(max(1, experiment.steps // EVALUATIONS)),
        "keep": "last",
        "batch": str(experiment.batch),
        "crop": ",".join(map(str, experiment.crop)),
        "seed": str(seed),
        "learning_rate": str(experiment.learning_rate),
        "channels_last": str(experiment.channels_last).lower(),
    }


def trained(row: Row, seed: int, work: Work) -> Path:
    """The checkpoint of one row and seed: from an earlier run, gone on with, or trained now by the command line."""
    checkpoint = work.out / row.name / str(seed)
    if (checkpoint / Checkpoint.FILE).is_file():
        return checkpoint
    with work.preparing():
        prepare(row, work)
    goes_on = (checkpoint / TRAINING).is_file()
    if not goes_on:
        shutil.rmtree(checkpoint, ignore_errors=True)  # killed before its first evaluation
    settings = settings_of(row, seed, work.experiment, work.out)
    words = [word for field, value in settings.items() for word in ("--set", f"{field}={value}")]
    command = ["train", RECIPE, "--data", str(work.dataset.root), "--out", str(checkpoint), *words]
    command += ["--backbone-weights", str(work.backbone)] if work.backbone else []
    command += ["--resume"] if goes_on else []
    if row.maps_of:
        with work.locks.held(work.place(row.maps_of, seed)):
            command += ["--hardness-maps", str(trained(ROWS[row.maps_of], seed, work))]
    many = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(row.processes), "-m"]
    program = [sys.executable, "-m", *(many if row.processes > 1 else []), "hardedge"]
    subprocess.run([*program, *command], check=True, stdout=subprocess.DEVNULL)
    return checkpoint


def prepare(row: Row, work: Work) -> None:
    """Makes what the row's loss or labels need beside the data set, once."""
    program = [sys.executable, "-m", "hardedge"]
    if "{edges}" in row.loss and not (work.out / "edges" / "edge_network.json").is_file():
        command = ["edges", str(work.dataset.root), "--out", str(work.out / "edges")]
        subprocess.run([*program, *command], check=True, stdout=subprocess.DEVNULL)
    if row.labels == "scribbles" and not (work.dataset.root / "scribbles").is_dir():
        subprocess.run([*program, "scribbles", str(work.dataset.root)], check=True, stdout=subprocess.DEVNULL)


def judged(row: Row, seed: int, work: Work) -> Result:
    """What one row's network of one seed does on the test split, from an earlier run or measured now."""
    path = result_file(work.results, row.name, seed)
    if path.is_file():
        return read_json(Result, path)
    checkpoint = trained(row, seed, work)
    manifest = load(Checkpoint, checkpoint)
    network = network_from_checkpoint(checkpoint, manifest, allow_code=True).to(
        "cuda" if torch.cuda.is_available() else "cpu"
    )
    ids, part = work.dataset.splits["test"], work.experiment.part
    apart = tuple(id for id in ids if part and id.startswith(part))
    result = Result(
        row=row.name,
        seed=seed,
        loss=loss_of(row, work.experiment, Path()),
        checkpoint=manifest.digest,
        seconds=manifest.seconds,
        machine=machine(next(network.parameters()).device),
        curve=curve_of(checkpoint),
        confidence=confidence_bins(network, work.dataset, ids),
        part=count_scores(network, work.dataset, apart),
        rest=count_scores(network, work.dataset, tuple(id for id in ids if id not in apart)),
    )
    write_atomically(path, to_json(result).encode())
    return result


def curve_of(checkpoint: Path) -> tuple[tuple[int, float], ...]:
    """The validations of a training: steps, and mIoU in percent."""
    records = [json.loads(line) for line in (checkpoint / METRICS).read_text().splitlines()]
    return tuple((each["step"], round(each["miou"], 4)) for each in records if "miou" in each)
