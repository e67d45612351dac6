"""Sizes that no stride divides: every family of networks, exported at one size, gives torch's masks at others."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.contracts import NetworkSpec, Normalisation, Profile
from hardedge.errors import BadInput
from hardedge.export.graph.agreement import require_agreement
from hardedge.export.graph.form import Form, parse_form
from hardedge.export.graph.pixels_to_mask import AtNetworkSize, PixelsToMask, onnx_from_network
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import PROBE, logits_form
from hardedge.models import build_network

RANGE = Form(profiles=(Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(4, 256, 256)),))
SIZES = ((1, 33, 47), (1, 64, 96), (2, 65, 97), (1, 95, 127), (1, 101, 64), (1, 129, 34))
FAMILIES = (
    "lraspp_mobilenet_v3_large",
    "bisenetv2",
    "deeplabv3_resnet18",
    "deeplabv3plus_resnet18",
    "pspnet_resnet18",
    "upernet_resnet18",
    "fpn_resnet18",
    "segformer_b0",
    "hrnetv2_w18_ocr",
)


def images(*size: int) -> np.ndarray:
    coarse_BHWC = np.random.default_rng(sum(size)).integers(0, 256, (size[0], 20, 20, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse_BHWC.repeat(16, axis=1).repeat(16, axis=2)[:, : size[1], : size[2]])


def lively(network: nn.Module, classes: int) -> nn.Module:
    """BatchNorm statistics of random images, and classes that are balanced on them: masks of several classes."""
    images_BCHW = F.interpolate(2 * torch.randn(4, 3, 5, 6), size=(96, 128))
    with torch.no_grad():
        for part in network.train().modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        for _ in range(2):
            network(images_BCHW)
        logits_BCHW = network.eval()(images_BCHW)
        biases = [value for value in network.parameters() if value.shape == (classes,)]
        biases[-1] -= logits_BCHW.mean((0, 2, 3))
    return network


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_gives_torchs_masks_at_sizes_that_its_stride_does_not_divide(name: str) -> None:
    torch.manual_seed(0)
    plain = lively(build_network(NetworkSpec(name=name, num_classes=5)), 5)
    network = PixelsToMask(plain, Normalisation()).eval()
    session = open_session(logits_form(onnx_from_network(network, RANGE.hull(), ("mask",), RANGE.opset)))
    classes = set()
    for size in SIZES:
        with torch.inference_mode():
            logits_BCHW = network.logits(torch.from_numpy(images(*size)))
        mask_BHW, shipped_BCHW = session.run(["mask", PROBE], {"image": images(*size)})
        largest = float(logits_BCHW.abs().max())
        np.testing.assert_allclose(shipped_BCHW, logits_BCHW.numpy(), atol=5e-4 * largest, err_msg=str(size))
        top_B2HW = logits_BCHW.topk(2, dim=1).values
        margin_BHW = (top_B2HW[:, 0] - top_B2HW[:, 1]).numpy()
        assert mask_BHW.shape == size
        classes |= set(np.unique(mask_BHW).tolist())
        wrong_BHW = mask_BHW != logits_BCHW.argmax(1).numpy()
        assert margin_BHW[wrong_BHW].max(initial=0) < 5e-4 * largest, size
    assert len(classes) > 1


class Theirs(nn.Module):
    """A network of segmentation-models-pytorch as a user would bring it, which checks sizes in eager mode alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BCHW: Tensor = self.network(images_BCHW)
        return logits_BCHW


# pspnet's traced graph has the one size of its pooling
KINDS = {
    "deeplabv3": (smp.DeepLabV3, r"image cut to 63x95.*divisible by 8\."),
    "pspnet": (smp.PSPNet, "golden image image.*onnxruntime:.*GatherND"),
    "fpn": (smp.FPN, r"image cut to 63x95.*divisible by 32\."),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_takes_multiples_only_is_refused_for_a_range_and_ships_at_one_size(kind: str) -> None:
    torch.manual_seed(0)
    build, refused = KINDS[kind]
    theirs = lively(Theirs(build("resnet18", encoder_weights=None, classes=5)), 5)
    image = {"image": images(1, 64, 96)[0]}
    with pytest.raises(BadInput, match=f"(?s)does not take {refused}.*or let .*: --network-size HEIGHTxWIDTH"):
        exported(theirs, RANGE, image)
    for form in (parse_form(["64x96"], [], None, [], 20), Form(profiles=RANGE.profiles, network_size=(64, 96))):
        exported(theirs, form, image)


def exported(plain: nn.Module, form: Form, image: dict[str, np.ndarray]) -> None:
    """Exports and checks, as the export stage does."""
    sized = AtNetworkSize(plain, form.network_size) if form.network_size else plain
    network = PixelsToMask(sized, Normalisation()).eval()
    require_agreement(onnx_from_network(network, form.hull(), ("mask",), form.opset), network, image, form)
