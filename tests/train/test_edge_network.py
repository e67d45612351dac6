"""The edge network: what it is taught, that it learns it, and what its directory is checked for."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hardedge.contracts import ClassInfo, EdgeNetworkManifest, load
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.train import edge_network
from hardedge.train.edge_network import EdgeNetwork, class_edges, load_edge_network, train_edge_network

Program = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def small_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a hundredth of a second."""
    monkeypatch.setattr(edge_network, "CROP", 48)
    monkeypatch.setattr(edge_network, "BATCH", 2)


def test_edges_are_where_a_neighbour_differs() -> None:
    generator = torch.Generator().manual_seed(0)
    target_BHW = torch.randint(0, 3, (2, 6, 7), generator=generator).repeat_interleave(2, 2)
    target_BHW[0, 2, 3] = 255
    edges_BCHW, counted_B1HW = class_edges(target_BHW, 3)
    for b, c, i, j in edges_BCHW.new_ones(edges_BCHW.shape).nonzero().tolist():
        around = [(k, m) for k in range(i - 1, i + 2) for m in range(j - 1, j + 2) if 0 <= k < 6 and 0 <= m < 14]
        assert counted_B1HW[b, 0, i, j] == all(target_BHW[b, k, m] != 255 for k, m in around)
        beside = [(k, m) for k, m in around if abs(k - i) + abs(m - j) == 1]
        is_class = target_BHW[b, i, j] == c
        assert edges_BCHW[b, c, i, j] == any((target_BHW[b, k, m] == c) != is_class for k, m in beside)


def test_it_has_eight_layers_that_see_one_pixel_further_each() -> None:
    network = EdgeNetwork(3)
    maps_BCHW = torch.rand(1, 3, 20, 20)
    features = network(maps_BCHW)
    assert [feature.shape[1] for feature in features] == [16, 32, 32, 32, 32, 32, 16, 3]
    changed_BCHW = maps_BCHW.clone()
    changed_BCHW[..., 0] += 1
    for layer, (before, after) in enumerate(zip(features, network(changed_BCHW), strict=True), start=1):
        assert not torch.equal(before, after)
        # rounding depends on where a block of columns ends
        torch.testing.assert_close(before[..., layer + 1 :], after[..., layer + 1 :], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_crops")
def test_it_learns_and_says_how_well(tiny_dataset: Path, tmp_path: Path) -> None:
    untrained = train_edge_network(tiny_dataset, tmp_path / "untrained", steps=1)
    trained = train_edge_network(tiny_dataset, tmp_path / "trained", steps=150)
    assert set(trained.validation.per_class) == {"sky", "road", "car"}
    assert untrained.validation.mean_f < 25
    assert trained.validation.mean_f > 60
    network = load_edge_network(tmp_path / "trained", open_dataset(tiny_dataset).task)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert load(EdgeNetworkManifest, tmp_path / "trained") == trained


@pytest.mark.usefixtures("small_crops")
def test_the_same_seed_trains_the_same_network(tiny_dataset: Path, tmp_path: Path) -> None:
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        train_edge_network(tiny_dataset, tmp_path / name, steps=3, seed=seed)
    a, b, c = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.usefixtures("small_crops")
def test_another_task_and_changed_weights_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "edges"
    train_edge_network(tiny_dataset, out, steps=1)
    task = open_dataset(tiny_dataset).task
    other = replace(task, classes=(*task.classes[:2], ClassInfo(name="tree", color=(0, 1, 2))))
    with pytest.raises(
        BadInput, match=r"knows the edges of sky, road, car, but the data set's classes are sky, road, tree"
    ):
        load_edge_network(out, other)
    weights = bytearray((out / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (out / "weights.safetensors").write_bytes(weights)
    with pytest.raises(BadInput, match="weights.safetensors: changed"):
        load_edge_network(out)


@pytest.mark.slow  # trains; the function is tested beside it
def test_the_command_writes_the_directory_once(tiny_dataset: Path, tmp_path: Path, hardedge: Program) -> None:
    out = tmp_path / "edges"
    done = hardedge("edges", tiny_dataset, "--out", out, "--steps", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 1
    again = hardedge("edges", tiny_dataset, "--out", out, "--steps", 1)
    assert again.returncode == 2
    assert "exists. Give another --out, or --force" in again.stderr
    forced = hardedge("edges", tiny_dataset, "--out", out, "--steps", 1, "--force")
    assert forced.returncode == 0, forced.stderr
    assert "mean F-score of validation edges" in forced.stdout


def test_no_steps_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="steps: expected 1 or more, got 0"):
        train_edge_network(tiny_dataset, tmp_path / "edges", steps=0)
