"""What the networks weigh: against counts from formulas, and as a command prints it."""

import json
import re
import subprocess
from collections.abc import Callable

import pytest
from torch import nn

from hardedge.contracts import NetworkSpec
from hardedge.models import ARCHITECTURES, build_network
from hardedge.models.complexity import network_facts, network_multiply_adds, network_table
from hardedge.models.listing.published import PUBLISHED
from hardedge.networks import NetworkTable, network_table_text, read_network_table

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


def test_a_network_says_its_stride_its_heads_of_the_training_and_what_was_published() -> None:
    found = {name: network_facts(ARCHITECTURES[name], (64, 64)) for name in ("pidnet_s", "stdc1", "fpn_resnet18")}
    assert {name: facts.stride for name, facts in found.items()} == {"pidnet_s": 8, "stdc1": 8, "fpn_resnet18": 4}
    assert found["pidnet_s"].training_only == ("auxiliary", "boundary")
    assert found["stdc1"].training_only == ("auxiliary", "detail")
    assert found["fpn_resnet18"].training_only == ()
    assert (found["pidnet_s"].published, found["pidnet_s"].source) == (78.8, "XuJiacong/PIDNet")
    assert found["pidnet_s"].licence.startswith("MIT")
    assert found["fpn_resnet18"].published is None


def test_what_was_published_is_of_listed_networks() -> None:
    assert set(PUBLISHED) <= set(ARCHITECTURES)


def test_the_table_as_text_has_a_line_for_each_network() -> None:
    facts = tuple(network_facts(ARCHITECTURES[name], (64, 64)) for name in ("pidnet_s", "fpn_resnet18"))
    lines = network_table_text(NetworkTable(num_classes=19, size=(64, 64), networks=facts)).splitlines()
    columns = r"pidnet_s +7.63 M +\d\.\d\d G +8  auxiliary, boundary  no +78.80 %, XuJiacong/PIDNet"
    assert re.fullmatch(columns, lines[1])
    assert lines[2].startswith("fpn_resnet18")


def test_the_stored_table_is_of_these_networks_and_what_was_published_of_them() -> None:
    stored = {facts.name: facts for facts in read_network_table().networks}
    assert list(stored) == list(ARCHITECTURES), "run: python docs/generate.py --networks"
    published = {name: (facts.published, facts.source, facts.licence) for name, facts in stored.items()}
    known = {name: (each.miou, each.source, each.licence) for name, each in PUBLISHED.items()}
    assert published == {name: known.get(name, (None, "", "")) for name in ARCHITECTURES}
    for name in ("fast_scnn", "lraspp_mobilenet_v3_large"):
        assert stored[name] == network_facts(ARCHITECTURES[name]), "run: python docs/generate.py --networks"


@pytest.mark.slow  # builds every network
def test_the_stored_table_is_what_the_networks_weigh() -> None:
    assert read_network_table() == network_table(), "run: python docs/generate.py --networks"


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
