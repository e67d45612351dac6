"""Every network: any size, only what ships, gradients everywhere, the exported mask, an engine for SM86."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from hardedge.contracts import NetworkSpec, Normalisation, Profile
from hardedge.deploy.engines.build import rtx_plans
from hardedge.export.graph.agreement import require_agreement
from hardedge.export.graph.form import Form
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network
from hardedge.models import ARCHITECTURES, build_network

QUICK = (
    *("lraspp", "bisenetv2", "resnet18", "segformer_b0", "hrnetv2_w18"),
    *("pidnet_s", "stdc1", "ppliteseg_t", "ddrnet23_slim", "fast_scnn", "efficientvit_b0"),
)
NAMES = [
    pytest.param(name, marks=() if any(part in name for part in QUICK) else pytest.mark.slow) for name in ARCHITECTURES
]
SIZES = [(32, 32), (33, 47), (64, 40), (95, 96)]
PARTS = ({"backbone", "classifier"}, {"encoder", "decoder", "segmentation_head"})
# of the networks that have the names of their released code: the decode head
HEADS = {
    "pidnet": "final_layer",
    "ddrnet23": "final_layer",
    "stdc": "conv_out",
    "ppliteseg": "seg_head",
    "fast_scnn": "classifier",
}
ALIGNED = ("stdc", "fast_scnn")


@pytest.fixture(scope="module", params=NAMES)
def named(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    torch.manual_seed(0)
    return request.param, build_network(NetworkSpec(name=request.param, num_classes=4)).eval()


def decode_head(name: str) -> tuple[str, ...]:
    """The sub-modules that are a network's decode head."""
    own = next((part for family, part in HEADS.items() if name.startswith(family)), None)
    if own:
        return (own,)
    return ("classifier",) if ARCHITECTURES[name].tap == "backbone" else ("decoder", "segmentation_head")


def released_parts(name: str) -> set[str]:
    """The first names in the released code's state_dict, without the heads of the training."""
    stages = {"conv1", *(f"layer{number}" for number in range(1, 6)), *(f"layer{number}_" for number in (3, 4, 5))}
    dual = stages | {"compression3", "compression4", "spp", "final_layer"}
    return {
        "pidnet": dual | {"layer3_d", "layer4_d", "layer5_d", "pag3", "pag4", "diff3", "diff4", "dfm"},
        "ddrnet23": dual | {"down3", "down4"},
        "stdc": {"cp", "ffm", "conv_out"},
        "ppliteseg": {"encoder", "decoder", "seg_head"},
        "fast": {"learning_to_downsample", "global_feature_extractor", "feature_fusion", "classifier"},
    }[name.split("_")[0].rstrip("12") if name.startswith("stdc") else name.split("_")[0]]


class TestEveryNetwork:
    @pytest.mark.parametrize("size", SIZES)
    def test_logits_have_the_size_of_the_image(self, named: tuple[str, nn.Module], size: tuple[int, int]) -> None:
        with torch.no_grad():
            logits_BCHW = named[1](torch.randn(2, 3, *size))
        assert logits_BCHW.shape == (2, 4, *size)
        assert logits_BCHW.isfinite().all()

    def test_the_head_on_the_tap_gives_the_networks_logits(self, named: tuple[str, nn.Module]) -> None:
        """A second head with the same weights gives, resized, what the network gives: head and tap fit."""
        name, network = named
        known = ARCHITECTURES[name]
        head = known.head(4).eval()
        parts = [network.get_submodule(part) for part in decode_head(name)]
        weights = [tensor for part in parts for tensor in part.state_dict().values()]
        head.load_state_dict(dict(zip(head.state_dict(), weights, strict=True)))
        images_BCHW = torch.randn(1, 3, 64, 96)
        aligned = name.startswith(ALIGNED)
        seen = []
        hook = network.get_submodule(known.tap).register_forward_hook(
            lambda module, inputs, output: seen.append(output)
        )
        with torch.no_grad():
            logits_BCHW = network(images_BCHW)
            found_BCHW = F.interpolate(head(seen[0]), size=(64, 96), mode="bilinear", align_corners=aligned)
        hook.remove()
        assert torch.equal(found_BCHW, logits_BCHW)

    def test_only_what_ships_is_inside(self, named: tuple[str, nn.Module]) -> None:
        name, network = named
        parts = {key.split(".")[0] for key in network.state_dict()}
        assert parts in PARTS or parts == released_parts(name)

    def test_the_weights_go_to_disk_and_back(self, named: tuple[str, nn.Module], tmp_path: Path) -> None:
        name, network = named
        safetensors.torch.save_file(network.state_dict(), tmp_path / "weights.safetensors")
        other = build_network(NetworkSpec(name=name, num_classes=4)).eval()
        other.load_state_dict(safetensors.torch.load_file(tmp_path / "weights.safetensors"))
        images_BCHW = torch.randn(1, 3, 45, 70)
        with torch.no_grad():
            assert torch.equal(other(images_BCHW), network(images_BCHW))

    def test_every_parameter_gets_a_gradient(self, named: tuple[str, nn.Module]) -> None:
        network = named[1].train()
        F.cross_entropy(network(torch.randn(2, 3, 33, 47)), torch.randint(0, 4, (2, 33, 47))).backward()
        without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        network.zero_grad()
        network.eval()
        assert without == []


# exporting takes 5 to 50 s a network; the default run has the quickest, and LRASPP and DeepLabV3+ in tests/export
EXPORTED = [pytest.param(name, marks=() if name == "fpn_resnet18" else pytest.mark.slow) for name in ARCHITECTURES]


@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_mask_is_torchs_and_an_engine_for_sm86_is_built(name: str, tmp_path: Path) -> None:
    """At a multiple of 32, at odd sizes and as a batch; the engine over the whole range of sizes."""
    network = PixelsToMask(lively(NetworkSpec(name=name, num_classes=5)), Normalisation()).eval()
    profile = Profile(min=(1, 64, 64), opt=(1, 64, 96), max=(4, 1024, 2048))
    model = onnx_from_network(network, profile, ("mask",), opset=20)
    rng = np.random.default_rng(0)
    sizes = {"divisible": (64, 96), "odd": (101, 91)}
    images = {label: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for label, size in sizes.items()}
    require_agreement(model, network, images, Form(profiles=(profile,)))
    with torch.no_grad():
        masks = [network(torch.from_numpy(image_HWC)[None]) for image_HWC in images.values()]
    assert all(len(mask_BHW.unique()) > 1 for mask_BHW in masks), "a mask of one class equals many wrong ones"
    onnx.save(model, tmp_path / "model.onnx")
    plans = rtx_plans(tmp_path / "model.onnx", ["tensorrt-rtx:sm86"], [profile])
    # the plan is of these weights: one that differs gives another
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(weight).copy()
    values.flat[values.size // 2] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "changed.onnx")
    assert rtx_plans(tmp_path / "changed.onnx", ["tensorrt-rtx:sm86"], [profile]) != plans


def lively(spec: NetworkSpec) -> nn.Module:
    """Weights of seed 0 with the BatchNorm statistics of random images, and classes that are balanced on them."""
    torch.manual_seed(0)
    network = build_network(spec).train()
    images_BCHW = F.interpolate(2 * torch.randn(4, 3, 5, 6), size=(80, 96))
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        for _ in range(2):
            network(images_BCHW)
        balance(network.eval(), images_BCHW, spec.num_classes)
    return network


def balance(network: nn.Module, images_BCHW: torch.Tensor, num_classes: int) -> None:
    """Takes each class's mean logit off its bias; off its weights, along the mean of what they see, without one."""
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d) and part.out_channels == num_classes]
    seen: list[torch.Tensor] = []
    hook = layers[-1].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    mean_C = network(images_BCHW).mean((0, 2, 3))
    hook.remove()
    if layers[-1].bias is not None:
        layers[-1].bias -= mean_C
        return
    features_F = seen[0].mean((0, 2, 3))
    layers[-1].weight -= torch.outer(mean_C, features_F / features_F.square().sum())[:, :, None, None]
