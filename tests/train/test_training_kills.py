"""A training that is killed thirty times, whenever it happens, is the uninterrupted one bit for bit."""

import random
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

KILLS = 30
LEAST_IN_WRITES = 5
RESULTS = ("weights.safetensors", "last.safetensors", "training_only.safetensors", "metrics.jsonl")

# a million weights that cost a step little and make the state take long to write
HEAVY = """
import torch
from torch import nn

class Heavy(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
            nn.Conv2d(8, num_classes, 1),
        )
        self.weight = nn.Parameter(torch.ones(1_000_000))

    def forward(self, images_BCHW):
        return self.layers(images_BCHW) * self.weight.mean()

build = Heavy
"""
VICTIM = """
import os, sys
from pathlib import Path
os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
sys.path.insert(0, folder)
import torch
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
torch.set_num_threads(1)
train(Recipe.from_json(recipe), Path(data), Path(out), resume=resume)
"""


class Run:
    """A training in processes of its own, each going on where the one before was killed."""

    def __init__(self, recipe: Recipe, data: Path, out: Path) -> None:
        self.out = out
        self.said = out.parent / "said"
        folder = str(out.parent)
        self.names = {"recipe": recipe.to_json(), "data": str(data), "out": str(out), "folder": folder}

    def start(self) -> ForkServerProcess:
        context = get_context("forkserver")
        context.set_forkserver_preload(["hardedge.train.stage"])  # torch is imported once for all
        resume = (self.out / "state/run.json").is_file()
        process = context.Process(target=exec, args=(VICTIM, {**self.names, "said": str(self.said), "resume": resume}))
        process.start()
        return process

    def partial_state(self) -> Path:
        return self.out / "state/.training.pt.partial"

    def kill_within(self, seconds: float) -> None:
        process = self.start()
        process.join(seconds)
        self._kill(process)

    def kill_in_a_write(self) -> None:
        self.partial_state().unlink(missing_ok=True)
        process = self.start()
        while process.is_alive() and not self.partial_state().exists():
            time.sleep(0.0005)
        self._kill(process)

    def _kill(self, process: ForkServerProcess) -> None:
        process.kill()
        process.join()
        assert process.exitcode == -9, self.said.read_text()


@pytest.mark.slow  # thirty processes
def test_thirty_kills_change_no_bit(tiny_dataset: Path, tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(HEAVY)
    recipe = tiny_recipe(network="heavy:build", steps=600, evaluate_every=2, ema=0.9, brightness=0.2)
    train(recipe, tiny_dataset, tmp_path / "whole")
    moments, run, in_writes = random.Random(0), Run(recipe, tiny_dataset, tmp_path / "killed"), 0
    for number in range(KILLS):
        if number % 3:
            run.kill_within(moments.uniform(0.1, 1.5))
        else:
            run.kill_in_a_write()
        in_writes += run.partial_state().exists()
    assert in_writes >= LEAST_IN_WRITES
    last = run.start()
    last.join()
    assert last.exitcode == 0, run.said.read_text()
    for result in RESULTS:
        assert (tmp_path / "killed" / result).read_bytes() == (tmp_path / "whole" / result).read_bytes(), result
    assert not list((tmp_path / "killed").rglob("*.partial"))
