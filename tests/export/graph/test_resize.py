"""A resize in ONNX is torch's, whichever way it is written: corners, size or factor, up or down, odd sizes."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.contracts import Normalisation, Profile
from hardedge.errors import BadInput
from hardedge.export.graph.agreement import require_agreement
from hardedge.export.graph.form import Form
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network

PROFILE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 160, 160))
FORM = Form(profiles=(PROFILE,))
WAYS = [
    pytest.param(*way, marks=() if way == (True, "size", "down") else pytest.mark.slow)
    for way in itertools.product((False, True), ("size", "factor"), ("up", "down"))
]


class Resized(nn.Module):
    """Logits of the image's size after a resize up, or down and up again; align_corners as given."""

    def __init__(self, align_corners: bool, by: str, direction: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.align_corners, self.by, self.direction = align_corners, by, direction
        self.stem = nn.Conv2d(3, 8, 3, 2 if direction == "up" else 1, 1)
        self.head = nn.Conv2d(8, 5, 3, 1, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features_BChw = self.stem(images_BCHW)
        height, width = features_BChw.shape[-2:]
        if self.direction == "down":
            features_BChw = self._resized(features_BChw, ((height + 1) // 2, (width + 1) // 2), 0.5)
        else:
            features_BChw = self._resized(features_BChw, (2 * height, 2 * width), 2.0)
        logits_BChw = self.head(features_BChw)
        return F.interpolate(logits_BChw, images_BCHW.shape[-2:], mode="bilinear", align_corners=self.align_corners)

    def _resized(self, maps_BChw: Tensor, size: tuple[int, int], factor: float) -> Tensor:
        if self.by == "size":
            return F.interpolate(maps_BChw, size, mode="bilinear", align_corners=self.align_corners)
        return F.interpolate(maps_BChw, scale_factor=factor, mode="bilinear", align_corners=self.align_corners)


@pytest.mark.parametrize(("align_corners", "by", "direction"), WAYS)
def test_the_masks_are_torchs_at_even_and_odd_sizes(align_corners: bool, by: str, direction: str) -> None:
    network = PixelsToMask(Resized(align_corners, by, direction), Normalisation()).eval()
    model = onnx_from_network(network, PROFILE, ("mask",), opset=20)
    rng = np.random.default_rng(0)
    sizes = ((64, 96), (65, 97), (63, 101), (33, 159))
    images = {f"{size}": rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes}
    agreement = require_agreement(model, network, images, FORM)
    assert agreement.logit_difference < 1e-4  # of logits about 1; another meaning of corners is a hundred times that


def test_a_resize_that_is_not_torchs_is_refused() -> None:
    """The check can fail, and names the first node: the same graph with the other meaning of corners."""
    network = PixelsToMask(Resized(False, "size", "up"), Normalisation()).eval()
    model = onnx_from_network(network, PROFILE, ("mask",), opset=20)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Resize" and attribute.name == "coordinate_transformation_mode":
                attribute.s = b"align_corners"
    image_HWC = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    with pytest.raises(
        BadInput, match=r"first node that differs: n\d+, Resize \(upsample_bilinear2d in network\): differs by"
    ):
        require_agreement(model, network, {"image": image_HWC}, FORM)
