"""What a user's own code raises is told with its line, and what makes a score doubtful is told beside it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Checkpoint, load
from hardedge.errors import BadInput, users_line
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]

LATE_NETWORK = """
from torch import nn

class Late(nn.Conv2d):
    def forward(self, x):
        if self.training:
            raise RuntimeError("only in training")
        return super().forward(x)

def late(num_classes):
    return Late(3, num_classes, 1)

class One(nn.Conv2d):
    def forward(self, x):
        y = super().forward(x) * 0
        y[:, 1] += 1
        return y

def one(num_classes):
    return One(3, num_classes, 1)
"""
OWN_LOSS = """
from dataclasses import dataclass
from typing import ClassVar
from hardedge.train.losses.loss import Loss

@dataclass(frozen=True)
class Mine(Loss):
    name: ClassVar[str] = "mine"
    needs: ClassVar[tuple[str, ...]] = ("logits",)

    def __call__(self, logits_BCHW, target_BHW):
        return logits_BCHW.mean() / {}["nothing"]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "late_network.py").write_text(LATE_NETWORK)
    (tmp_path / "own_loss.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("late_network", "own_loss"):
        sys.modules.pop(name, None)


def test_a_network_that_fails_in_training_is_told_by_its_line(
    own: None, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    said = r"late_network:late or the loss .*, late_network\.py, line 7: RuntimeError: only in training"
    with pytest.raises(BadInput, match=said):
        train(tiny_recipe(network="late_network:late"), tiny_dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_loss_that_fails_is_told_by_its_line(
    own: None, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    from own_loss import Mine  # type: ignore[import-not-found]  # written by the fixture

    with pytest.raises(BadInput, match=r"own_loss\.py, line 12: KeyError: 'nothing'"):
        train(tiny_recipe(loss=1.0 * Mine()), tiny_dataset, tmp_path / "out")


def test_what_a_package_raises_is_no_fault_of_a_user() -> None:
    with pytest.raises(ValueError, match="could not convert") as raised:
        np.loadtxt(["a"])
    here = raised.value.__traceback__
    assert here is not None
    assert users_line(raised.value) == f"{Path(__file__).name}, line {here.tb_lineno}"
    assert users_line(raised.value.with_traceback(here.tb_next)) is None


def test_a_training_that_names_one_class_says_so_beside_its_score(
    own: None, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    train(tiny_recipe(network="late_network:one", steps=1), tiny_dataset, tmp_path / "out")
    (doubt,) = load(Checkpoint, tmp_path / "out").doubts or ()
    assert doubt.startswith("every pixel of every image is predicted as one class")


def test_a_validation_with_one_class_says_so_beside_its_score(
    tiny_dataset: Path, tmp_path: Path, hardedge: Callable[..., CompletedProcess[str]]
) -> None:
    for id in (tiny_dataset / "splits/val.txt").read_text().split():
        path = tiny_dataset / "masks" / f"{id}.png"
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    (tmp_path / "nets.py").write_text("from torch import nn\ndef build(n):\n    return nn.Conv2d(3, n, 1)\n")
    fields = {"network": "nets:build", "loss": "ce", "branches": "", "crop": "32,32", "steps": 1, "batch": 2}
    settings = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    done = hardedge("train", "camvid", "--data", tiny_dataset, "--out", tmp_path / "out", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "but class sky alone is labelled in val: the score says nothing of the others" in done.stdout
