"""What the networks weigh: against counts from formulas, and as a command prints it."""

import json
import subprocess
from collections.abc import Callable

import pytest
from torch import nn

from hardedge.contracts import NetworkSpec
from hardedge.models import ARCHITECTURES, build_network
from hardedge.models.complexity import network_facts, network_multiply_adds

Program = Callable[..., subprocess.CompletedProcess[str]]


def test_multiply_adds_are_those_of_the_formula() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=4))
    assert network_multiply_adds(layers, (10, 14)) == 5 * 7 * 8 * 3 * 9 + 5 * 7 * 8 * 2 * 9


def test_nothing_is_allocated_and_the_figures_are_those_of_the_real_network() -> None:
    known = ARCHITECTURES["segformer_b0"]  # its constructor reads figures back
    facts = network_facts(known, (64, 96))
    network = build_network(NetworkSpec(name="segformer_b0", num_classes=19)).eval()
    assert facts.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert facts.multiply_adds == network_multiply_adds(network, (64, 96))


@pytest.mark.slow
def test_the_command_lists_every_network(hardedge: Program) -> None:
    done = hardedge("models", "--json")
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert table["size"] == [512, 1024]
    networks = {facts["name"]: facts for facts in table["networks"]}
    assert list(networks) == list(ARCHITECTURES)
    # torchvision's own figure for 21 classes at 520x520 is 2.09 G
    assert networks["lraspp_mobilenet_v3_large"]["multiply_adds"] == pytest.approx(
        2.09e9 * 512 * 1024 / 520**2, rel=0.05
    )
    assert {facts["extra"] for facts in table["networks"]} == {"train"}
    assert not networks["bisenetv2"]["pretrained"]
    text = hardedge("models").stdout
    assert all(name in text for name in ARCHITECTURES)
