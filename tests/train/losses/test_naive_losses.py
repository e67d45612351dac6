"""The naive forms that the benchmark times compute what ours compute: else the ratio says nothing."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor

from hardedge.train.losses import parse_loss

Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
PATH = Path(__file__).parents[3] / "benchmarks/naive_losses.py"


@pytest.fixture(scope="module")
def naive_losses() -> ModuleType:
    spec = importlib.util.spec_from_file_location("naive_losses", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["hardness", "recall", "pat", "cpg", "lmp", "ssl", "asl"])
def test_the_naive_form_has_our_value(naive_losses: ModuleType, example: Example, name: str) -> None:
    logits_BCHW, hardness_B1HW, target_BHW = example()
    outputs = {"logits": logits_BCHW, "hardness": hardness_B1HW, "target": target_BHW}
    ours = parse_loss(name)(outputs, target_BHW)
    naive = naive_losses.NAIVE[name](outputs["logits"], outputs)
    # float64, summed in another order; the naive forms add an epsilon here and there, and stop after 60 bisections
    assert naive.item() == pytest.approx(ours.item(), rel=1e-8)
