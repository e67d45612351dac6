"""Quantisation-aware training: 8 bits in the forward pass, plain weights in the checkpoint."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hardedge.contracts import Checkpoint, NetworkSpec, load
from hardedge.errors import BadInput
from hardedge.models import build_network
from hardedge.train import stage as stage
from hardedge.train.branches import HardnessBranch
from hardedge.train.losses import parse_loss
from hardedge.train.quantisation import plain_state, quantise
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]
BRANCHES = (HardnessBranch("light", tap="3"),)


def rounded(values: Tensor, most: Tensor) -> Tensor:
    """Symmetric int8 by the formula: -128 to 127 steps of most / 127."""
    step = most.double() / 127
    return (values.double() / step).round().clamp(-128, 127) * step


def test_a_convolution_computes_with_weights_and_input_in_eight_bits() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, bias=False)
    weight = layer.weight.detach().clone()
    seen, image = torch.randn(2, 3, 8, 8), 3 * torch.randn(2, 3, 8, 8)  # the second beyond the ranges of the first
    network = nn.Sequential(layer)
    quantise(network, [seen])
    expected = nn.functional.conv2d(
        rounded(image, seen.abs().max()), rounded(weight, weight.abs().amax((1, 2, 3), keepdim=True))
    )
    torch.testing.assert_close(network(image).double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(layer.weight, weight)


def test_the_network_keeps_its_weights_mode_and_statistics() -> None:
    network = build_network(NetworkSpec(name="lraspp_mobilenet_v3_large", num_classes=3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quantise(network, [torch.randn(2, 3, 64, 64)])
    state = plain_state(network)
    assert list(state) == list(before)
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert len(network.state_dict()) > len(before)
    assert network.training
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    first = next(network.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


@pytest.fixture
def trained(tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path) -> Path:
    train(tiny_recipe(steps=4, loss=parse_loss("hardness"), branches=BRANCHES), tiny_dataset, tmp_path / "trained")
    return tmp_path / "trained"


def test_a_fine_tuned_checkpoint_is_a_plain_one(
    trained: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=2, qat="int8", loss=parse_loss("hardness"), branches=BRANCHES)
    tuned = train(recipe, tiny_dataset, tmp_path / "tuned", start_from=trained)
    assert tuned is not None
    start, end = (load_file(path / "weights.safetensors") for path in (trained, tmp_path / "tuned"))
    assert list(end) == list(start)
    assert any(not torch.equal(start[name], end[name]) for name in start)
    build_network(tuned.network).load_state_dict(end)
    assert tuned.inputs == {"start_from": load(Checkpoint, trained).digest}
    assert Recipe.from_json(tuned.recipe).qat == "int8"
    # nothing of the quantisers is left in what trains without them
    train(replace(recipe, qat=""), tiny_dataset, tmp_path / "further", start_from=tmp_path / "tuned")


def test_it_goes_on_after_a_kill(
    trained: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(steps=4, evaluate_every=2, qat="int8")
    train(recipe, tiny_dataset, tmp_path / "whole", start_from=trained)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "finish_training", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tiny_dataset, tmp_path / "killed", start_from=trained)
    train(recipe, tiny_dataset, tmp_path / "killed", start_from=trained, resume=True)
    whole, resumed = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == resumed


def test_what_cannot_be_fine_tuned_is_refused(
    trained: Path, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="--qat fine-tunes: give the trained checkpoint as --start-from"):
        train(tiny_recipe(qat="int8"), tiny_dataset, tmp_path / "out")
    with pytest.raises(BadInput, match="qat: expected int8 or nothing, without ema and compile, got int8"):
        train(tiny_recipe(qat="int8", ema=0.9), tiny_dataset, tmp_path / "out", start_from=trained)
    with pytest.raises(BadInput, match="the recipe trains fpn_resnet18. Set network="):
        train(tiny_recipe(network="fpn_resnet18"), tiny_dataset, tmp_path / "out", start_from=trained)
    with pytest.raises(BadInput, match="leave out --pretrained"):
        train(tiny_recipe(pretrained=True), tiny_dataset, tmp_path / "out", start_from=trained)
    assert not (tmp_path / "out").exists()
