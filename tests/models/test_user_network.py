"""A network of the user's own: found, checked, and told what is wrong with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import build_network

OWN = """
import torch
from torch import nn

def build(num_classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, num_classes, 1))

def small(num_classes):
    return nn.Conv2d(3, num_classes, 3, stride=2, padding=1)

def fixed(num_classes):
    return nn.Conv2d(3, 7, 1)

class Named(nn.Conv2d):
    def forward(self, x):
        return {"out": super().forward(x)}

def named(num_classes):
    return Named(3, num_classes, 1)

class Mask(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).round().long()

def mask(num_classes):
    return Mask(3, num_classes, 1)

def grey(num_classes):
    return nn.Conv2d(1, num_classes, 1)

def nothing(num_classes):
    return None

def plain():
    return nn.Conv2d(3, 4, 1)

value = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's in the current directory, its name, and no trace afterwards."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "hardedge_test_own.py").write_text(OWN)
    (tmp_path / "hardedge_test_broken.py").write_text("import surely_not_installed\n")
    yield "hardedge_test_own"
    for name in ("hardedge_test_own", "hardedge_test_broken"):
        sys.modules.pop(name, None)


def test_a_users_network_is_built_from_the_current_directory(own: str) -> None:
    network = build_network(NetworkSpec(name=f"{own}:build", num_classes=4))
    assert network(torch.randn(2, 3, 33, 41)).shape == (2, 4, 33, 41)


def test_the_check_leaves_the_users_network_as_it_was(own: str) -> None:
    network = build_network(NetworkSpec(name=f"{own}:build", num_classes=4))
    assert network.training
    assert torch.equal(network[1].running_mean, torch.zeros(8))
    assert network[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hardedge_test_own:", "write package.module:function"),
        ("hardedge_no_such:build", "no module hardedge_no_such, neither in .* nor installed"),
        ("hardedge_test_broken:build", "importing hardedge_test_broken failed: .*surely_not_installed"),
        ("hardedge_test_own:biuld", "has no function biuld. Did you mean hardedge_test_own:build?"),
        ("hardedge_test_own:value", "has no function value"),
        ("hardedge_test_own:plain", "calling it with num_classes=4 failed: TypeError"),
        ("hardedge_test_own:nothing", "returned NoneType. Return a torch.nn.Module"),
        ("hardedge_test_own:grey", r"its forward failed on two RGB images of 64x96: RuntimeError"),
        ("hardedge_test_own:named", "its forward returns dict. Return the logits alone"),
        ("hardedge_test_own:fixed", "its logits have 7 channels for num_classes=4"),
        ("hardedge_test_own:small", r"its logits are \(2, 4, 32, 48\), expected \(2, 4, 64, 96\). Upsample them"),
        ("hardedge_test_own:mask", "its logits are torch.int64"),
    ],
)
def test_what_is_wrong_with_a_users_network_is_said(own: str, name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_network(NetworkSpec(name=name, num_classes=4))
