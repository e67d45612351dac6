"""The networks against the libraries whose parts they are made of, and names that are found or not."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torchvision.models import segmentation

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import ARCHITECTURES, architecture, build_network


def plain(name: str, num_classes: int = 4) -> nn.Module:
    return build_network(NetworkSpec(name=name, num_classes=num_classes)).eval()


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101"])
def test_state_keys_are_torchvisions(name: str) -> None:
    theirs = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=4)
    assert list(plain(name).state_dict()) == list(theirs.state_dict())


def test_torchvision_weights_give_torchvisions_logits() -> None:
    theirs = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4).eval()
    ours = plain("lraspp_mobilenet_v3_large")
    ours.load_state_dict(theirs.state_dict())
    images_BCHW = torch.randn(1, 3, 45, 70)
    with torch.no_grad():
        assert torch.equal(ours(images_BCHW), theirs(images_BCHW)["out"])


SMP = {
    "deeplabv3_resnet18": lambda: smp.DeepLabV3("resnet18", encoder_weights=None, classes=4, upsampling=1),
    "deeplabv3plus_resnet18": lambda: smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=4, upsampling=1),
    "pspnet_resnet18": lambda: smp.PSPNet(
        "resnet18", encoder_weights=None, encoder_depth=5, output_stride=8, classes=4, upsampling=1
    ),
    "upernet_resnet18": lambda: smp.UPerNet(
        "resnet18", encoder_weights=None, decoder_channels=512, classes=4, upsampling=1
    ),
    "fpn_resnet18": lambda: smp.FPN("resnet18", encoder_weights=None, classes=4, upsampling=1),
    "segformer_b0": lambda: smp.Segformer("mit_b0", encoder_weights=None, classes=4, upsampling=1),
}


@pytest.mark.parametrize("name", SMP)
def test_smp_weights_give_smps_logits(name: str) -> None:
    """On a multiple of the stride, the only sizes theirs takes, and before the last resize, which has align_corners."""
    theirs = SMP[name]().eval()
    ours = plain(name)
    ours.load_state_dict(theirs.state_dict())
    images_BCHW = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        low_BChw = ours.segmentation_head(ours.decoder(ours.encoder(images_BCHW)))
        # float32: pyramids are pooled by matrix products here, and FPN is added up in another order
        torch.testing.assert_close(low_BChw, theirs(images_BCHW), rtol=1e-4, atol=1e-5)


def test_published_parameters() -> None:
    """Of the networks whose papers name them, in millions, for 19 classes (SegFormer: table 1; HRNet-OCR: 70.3)."""
    published = {"segformer_b0": 3.8, "segformer_b1": 13.7, "hrnetv2_w48_ocr": 70.3}
    for name, millions in published.items():
        found = sum(parameter.numel() for parameter in plain(name, 19).parameters()) / 1e6
        assert found == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("name", ["fpn_mobilenet_v2", "upernet_tu-efficientnet_lite0", "segformer_resnet18"])
def test_any_encoder_makes_a_network(name: str) -> None:
    with torch.no_grad():
        assert plain(name)(torch.randn(1, 3, 33, 47)).shape == (1, 4, 33, 47)
    known = architecture(name)
    assert known is not None
    assert known.name == name


@pytest.mark.parametrize("name", ["fpn_tu-hrnet_w18_small", "deeplabv3plus_tu-regnety_002"])
def test_an_encoder_that_takes_multiples_of_32_alone_gets_them(name: str) -> None:
    network = plain(name)
    with torch.no_grad():
        assert network(torch.randn(1, 3, 33, 47)).shape == (1, 4, 33, 47)
        # and a multiple comes as it is
        images_BCHW = torch.randn(1, 3, 64, 96)
        seen = []
        hook = network.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
        network(images_BCHW)
        hook.remove()
    assert torch.equal(seen[0], images_BCHW)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deeplab_resnet50", "Did you mean deeplabv3_resnet50.*Known: lraspp_mobilenet_v3_large, .*own"),
        ("fpn_resnet19", "no encoder resnet19. Did you mean fpn_resnet1.*Known encoders: resnet18, "),
        ("upernet_tu-convnext_tinny", "no encoder tu-convnext_tinny. Did you mean upernet_tu-convnext_tiny"),
        ("pspnet_vgg11", "encoder vgg11 cannot be built with an output stride of 8: .*upernet_, fpn_ or segformer_"),
        ("fpn_tu-swin_tiny_patch4_window7_224", "its forward failed on two RGB images of 64x96"),
    ],
)
def test_a_name_that_makes_no_network_is_explained(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=f"(?s){message}"):
        plain(name)


def test_own_networks_are_not_looked_up() -> None:
    assert architecture("mynet:build") is None
    assert len({known.name for known in ARCHITECTURES.values()}) == len(ARCHITECTURES)
