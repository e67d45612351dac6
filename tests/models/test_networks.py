"""Every network: any size, only what ships, errors for the user's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import ARCHITECTURES, architecture, build_network

SIZES = [(32, 32), (33, 47), (64, 40)]


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def named(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    torch.manual_seed(0)
    return request.param, build_network(NetworkSpec(name=request.param, num_classes=4)).eval()


@pytest.mark.parametrize("size", SIZES)
def test_logits_have_the_size_of_the_image(named: tuple[str, nn.Module], size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits_BCHW = named[1](torch.randn(2, 3, *size))
    assert logits_BCHW.shape == (2, 4, *size)
    assert logits_BCHW.isfinite().all()


def test_the_head_on_the_tap_gives_the_networks_logits(named: tuple[str, nn.Module]) -> None:
    """A second head with the same weights gives, resized, what the network gives: head and tap fit."""
    name, network = named
    known = ARCHITECTURES[name]
    head = known.head(4).eval()
    parts = [network.classifier] if hasattr(network, "classifier") else [network.decoder, network.segmentation_head]
    weights = [tensor for part in parts for tensor in part.state_dict().values()]
    head.load_state_dict(dict(zip(head.state_dict(), weights, strict=True)))
    images_BCHW = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = network.get_submodule(known.tap)(images_BCHW)
        low_BChw = head(features)
        found_BCHW = nn.functional.interpolate(low_BChw, size=(64, 96), mode="bilinear", align_corners=False)
        assert torch.equal(found_BCHW, network(images_BCHW))


def test_only_what_ships_is_inside(named: tuple[str, nn.Module]) -> None:
    parts = {key.split(".")[0] for key in named[1].state_dict()}
    assert parts in ({"backbone", "classifier"}, {"encoder", "decoder", "segmentation_head"})


def test_state_keys_are_the_libraries() -> None:
    from torchvision.models import segmentation

    for name in ("lraspp_mobilenet_v3_large", "deeplabv3_resnet50"):
        theirs = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=4)
        ours = build_network(NetworkSpec(name=name, num_classes=4))
        assert list(ours.state_dict()) == list(theirs.state_dict())


def test_torchvision_weights_give_torchvisions_logits() -> None:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    theirs = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4).eval()
    ours = build_network(NetworkSpec(name="lraspp_mobilenet_v3_large", num_classes=4)).eval()
    ours.load_state_dict(theirs.state_dict())
    images_BCHW = torch.randn(1, 3, 45, 70)
    with torch.no_grad():
        assert torch.equal(ours(images_BCHW), theirs(images_BCHW)["out"])


def test_smp_weights_give_smps_logits() -> None:
    """On a multiple of the stride, the only sizes theirs takes, and before the last resize, which has align_corners."""
    from segmentation_models_pytorch import DeepLabV3Plus

    theirs = DeepLabV3Plus("resnet18", encoder_weights=None, classes=4, upsampling=1).eval()
    ours = build_network(NetworkSpec(name="deeplabv3plus_resnet18", num_classes=4)).eval()
    ours.load_state_dict(theirs.state_dict())
    images_BCHW = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        low_BChw = ours.segmentation_head(ours.decoder(ours.encoder(images_BCHW)))
        assert torch.equal(low_BChw, theirs(images_BCHW))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean deeplabv3_resnet50.*Known: lraspp_mobilenet_v3_large, "):
        build_network(NetworkSpec(name="deeplab_resnet50", num_classes=4))
    assert architecture("mynet:build") is None


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
        ("hardedge_test_own:grey", "its forward failed on two RGB images of 64x96: RuntimeError"),
        ("hardedge_test_own:named", "its forward returns dict. Return the logits alone"),
        ("hardedge_test_own:fixed", "its logits have 7 channels for num_classes=4"),
        ("hardedge_test_own:small", r"its logits are \(2, 4, 32, 48\), expected \(2, 4, 64, 96\). Upsample them"),
        ("hardedge_test_own:mask", "its logits are torch.int64"),
    ],
)
def test_what_is_wrong_with_a_users_network_is_said(own: str, name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_network(NetworkSpec(name=name, num_classes=4))
