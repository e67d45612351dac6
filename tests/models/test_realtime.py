"""The real-time networks: what they weigh, and against another implementation with the same weights."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from hardedge.contracts import NetworkSpec, Normalisation, Profile
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network
from hardedge.export.precisions.convert import convert
from hardedge.export.precisions.coverage import multiply_adds_by_precision
from hardedge.export.precisions.legality import legality_findings
from hardedge.models import ARCHITECTURES, build_network
from hardedge.models.complexity import network_facts

# parameters for 19 classes and multiply-adds of convolutions at 512x1024 of the released code without its training
# heads, counted there with the same counter; published: millions of parameters and billions of multiply-adds at
# 1024x2048, of the paper or the release's page
WEIGHS = {
    "pidnet_s": (7_625_715, 11_798_593_536, 7.6, 47.6),
    "pidnet_m": (28_538_515, 44_332_253_184, 28.5, None),
    "pidnet_l": (36_939_571, 68_733_452_288, 36.9, 275.8),
    "stdc1": (8_275_104, 16_863_133_696, None, None),
    "stdc2": (12_305_568, 23_456_579_584, None, None),
    "ppliteseg_t": (8_027_808, 11_421_139_968, None, None),
    "ppliteseg_b": (12_234_240, 19_227_526_144, None, None),
    "ddrnet23_slim": (5_695_987, 9_070_379_008, 5.7, 36.3),
    "ddrnet23": (20_148_947, 35_765_223_424, 20.1, 143.1),
    "fast_scnn": (1_138_051, 1_676_903_264, 1.11, None),
}
# what pooling by matrix products adds to the released code's pooling, which is not counted
POOLED = {"ppliteseg_t": 4_358_144, "ppliteseg_b": 4_358_144, "fast_scnn": 991_232}


@pytest.mark.parametrize("name", WEIGHS)
def test_parameters_and_multiply_adds_are_those_of_the_released_code(name: str) -> None:
    parameters, multiply_adds, published, published_multiply_adds = WEIGHS[name]
    found = network_facts(ARCHITECTURES[name])
    assert (found.parameters, found.multiply_adds) == (parameters, multiply_adds + POOLED.get(name, 0))
    if published:
        assert parameters / 1e6 == pytest.approx(published, rel=0.03)
    if published_multiply_adds:
        # the papers count some other operations too
        assert 4 * multiply_adds / 1e9 == pytest.approx(published_multiply_adds, rel=0.01)


def test_the_released_bisenetv2_has_its_parameters_and_gives_logits_at_any_size() -> None:
    network = build_network(NetworkSpec(name="bisenetv2_coincheung", num_classes=19)).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_358_627
    with torch.no_grad():
        logits_BCHW = network(torch.randn(2, 3, 33, 47))
    assert logits_BCHW.shape == (2, 19, 33, 47)
    # with the statistics of a fresh network every layer passes something on
    assert logits_BCHW.std() > 0


ORACLES = {"pidnet_s": ("pidnet", "s"), "pidnet_l": ("pidnet", "l"), "ppliteseg_t": ("ppliteseg", "t50")}


def other_implementation(family: str, size: str) -> nn.Module:
    """LibreYOLO's network of that size; its module alone is run, as the package imports much else."""
    package = importlib.util.find_spec("libreyolo")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs the package libreyolo, another implementation")
    content = runpy.run_path(str(Path(package.submodule_search_locations[0]) / "models" / family / "nn.py"))
    name = "LibrePIDNetNet" if family == "pidnet" else "LibrePPLiteSegNet"
    network: nn.Module = content[name](size, 19)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
def test_the_same_weights_give_another_implementations_logits(name: str) -> None:
    torch.manual_seed(0)
    theirs = other_implementation(*ORACLES[name]).eval()
    ours = build_network(NetworkSpec(name=name, num_classes=19)).eval()
    weights = theirs.state_dict()
    ours.load_state_dict({key: weights[key] for key in ours.state_dict()})
    # theirs normalises as ImageNet does
    images_BCHW = torch.rand(1, 3, 128, 192)
    mean_C11, std_C11 = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None].unbind()
    with torch.no_grad():
        found_BCHW = ours((images_BCHW - mean_C11) / std_C11)
        expected_BCHW = theirs(images_BCHW)
        size = found_BCHW.shape[-2:]
        expected_BCHW = F.interpolate(expected_BCHW, size=size, mode="bilinear", align_corners=False)
    # float32: the pyramid is pooled by matrix products here
    torch.testing.assert_close(found_BCHW, expected_BCHW, rtol=1e-4, atol=1e-4)


# the smallest share of the multiply-adds in each precision
SHARES = {"fp16": 0.95, "int8": 0.9}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pidnet_s", "stdc1", "ppliteseg_t", "ddrnet23_slim", "fast_scnn", "efficientvit_b0"])
def test_its_files_of_lower_precision_are_legal(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name=name, num_classes=5))
    with torch.no_grad():
        # statistics of images: a fresh network's ranges are those of no trained one
        network.train()(F.interpolate(2 * torch.randn(4, 3, 5, 6), size=(80, 96)))
    profile = Profile(min=(1, 64, 64), opt=(1, 128, 192), max=(4, 1024, 2048))
    source = onnx_from_network(PixelsToMask(network.eval(), Normalisation()).eval(), profile, ("mask",), opset=20)
    onnx.save(source, tmp_path / "model.onnx")
    image_HWC = np.random.default_rng(0).integers(0, 256, (128, 192, 3), dtype=np.uint8)
    Image.fromarray(image_HWC).save(tmp_path / "image.png")
    for precision, share in SHARES.items():
        made = convert(tmp_path / "model.onnx", precision, [tmp_path / "image.png"]).model
        assert legality_findings(made) == []
        by_precision = multiply_adds_by_precision(made, (1, 128, 192))
        assert by_precision[precision] / sum(by_precision.values()) >= share
