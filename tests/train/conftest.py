"""A network and a recipe that train in a second."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe

NETWORK = """
from torch import nn

def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, num_classes, 1),
    )
"""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads cost more than they bring at this size, and the sums of two runs must be in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Callable[..., Recipe]:
    """A recipe for the tiny data set with a user's own three-layer network, and any of its fields changed."""
    (tmp_path / "three_layers.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(
        name="tiny",
        network="three_layers:build",
        loss=parse_loss("ce"),
        learning_rate=1e-2,
        steps=20,
        batch=2,
        crop=(32, 48),
        scale=(0.75, 1.25),
        evaluate_every=5,
        amp=False,
    )

    def changed(**changes: Any) -> Recipe:
        return replace(recipe, **changes)

    return changed
