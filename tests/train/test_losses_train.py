"""Every method trains: on the street scenes it lowers its own objective and keeps up with cross-entropy."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hardedge.data.scribbles import write_scribbles
from hardedge.data.streets.write import write_streets
from hardedge.train.branches import BoundaryBranch, DetailBranch, HardnessBranch
from hardedge.train.edge_network import train_edge_network
from hardedge.train.losses import LOSSES, parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.recipes import RECIPES
from hardedge.train.stage import train

STEPS = 240
# of cross-entropy's mIoU, same steps and seed; trainings of one loss differ by 2 % of it (docs/results.md)
KEEPS_UP = 0.95
BELOW = {"pat": 0.91}  # 47.8 % where cross-entropy had 51.4 % (2026-11-30)
RECOMMENDED = {
    "focal": "focal",
    "dice": "ce + dice",
    "lovasz": "ce + lovasz",
    "tversky": "ce + tversky",
    "ohem": "ohem",
    "hardness": "hardness",
    "recall": "recall",
    "pat": "pat",
    "cpg": "ce + cpg",
    "lmp": "lmp",
    "abl": "ce + lovasz + abl@0.2",
    "ssl": "0.5*ce + 0.5*ssl",
    "asl": "asl",
    "semeda": "ce + 0.1*semeda(network='{edges}')",
    "boundary": "ce + boundary",
    "detail": "ce + detail",
}
BOUNDARY_METRICS = {"bf1": "ce + asl(metric=bf1)", "biou": "ce + asl(metric=biou)"}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streets") / "data"
    write_streets(folder)
    write_scribbles(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def every_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(threads)


def recipe_with(loss: str, **changes: object) -> Recipe:
    parsed = parse_loss(loss)
    kinds = {"hardness": HardnessBranch("light"), "boundary": BoundaryBranch(), "detail": DetailBranch()}
    branches = tuple(branch for name, branch in kinds.items() if name in parsed.needs)
    recipe = replace(RECIPES["streets"](), loss=parsed, branches=branches, steps=STEPS, evaluate_every=STEPS)
    return replace(recipe, **changes)  # type: ignore[arg-type]


def trained(recipe: Recipe, data: Path, out: Path) -> tuple[float, list[dict[str, float]]]:
    """The validation mIoU, and the terms of every tenth step."""
    miou = train(recipe, data, out).validation.miou
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return miou, [line["terms"] for line in lines if "terms" in line]


@pytest.fixture(scope="module")
def cross_entropy(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    return trained(recipe_with("ce"), streets, tmp_path_factory.mktemp("ce") / "out")[0]


def require_keeps_up(miou: float, control: float, name: str = "") -> None:
    assert miou >= BELOW.get(name, KEEPS_UP) * control


def test_a_method_ten_percent_worse_than_its_control_fails() -> None:
    for control in (8.0, 53.1):
        for name in RECOMMENDED:
            with pytest.raises(AssertionError):
                require_keeps_up(0.9 * control, control, name)
        require_keeps_up(0.98 * control, control)


def require_lowered(terms: list[dict[str, float]], name: str) -> None:
    values = [entry[name] for entry in terms if name in entry]
    assert sum(values[-4:]) < sum(values[:4])


def test_a_combination_is_recommended_for_every_method() -> None:
    # what boundary_ohem sees grows while its head learns
    assert set(RECOMMENDED) | {"ce", "dfr", "boundary_ohem"} == set(LOSSES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RECOMMENDED)
def test_a_method_keeps_up_with_cross_entropy(name: str, streets: Path, tmp_path: Path, cross_entropy: float) -> None:
    if name == "semeda":
        train_edge_network(streets, tmp_path / "edges", steps=300)
    recipe = recipe_with(RECOMMENDED[name].format(edges=tmp_path / "edges"))
    miou, terms = trained(recipe, streets, tmp_path / "out")
    print(f"{name}: {miou:.1f} %, cross-entropy {cross_entropy:.1f} %")
    require_lowered(terms, name)
    require_keeps_up(miou, cross_entropy, name)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("metric", BOUNDARY_METRICS)
def test_a_boundary_metric_beside_cross_entropy_keeps_up(
    metric: str, streets: Path, tmp_path: Path, cross_entropy: float
) -> None:
    miou, terms = trained(recipe_with(BOUNDARY_METRICS[metric]), streets, tmp_path / "out")
    print(f"asl({metric}): {miou:.1f} %, cross-entropy {cross_entropy:.1f} %")
    require_lowered(terms, "asl")
    require_keeps_up(miou, cross_entropy)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_dfr_keeps_up_with_partial_cross_entropy_on_the_same_scribbles(streets: Path, tmp_path: Path) -> None:
    partial, _ = trained(recipe_with("ce", labels="scribbles"), streets, tmp_path / "ce")
    miou, terms = trained(recipe_with("ce + 0.01*dfr", labels="scribbles"), streets, tmp_path / "dfr")
    print(f"dfr: {miou:.1f} %, partial cross-entropy {partial:.1f} %")
    require_lowered(terms, "dfr")
    require_keeps_up(miou, partial)
