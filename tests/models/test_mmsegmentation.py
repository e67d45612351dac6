"""mmsegmentation's networks against an evaluation written from the description in its configurations."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import build_network
from hardedge.models.mmsegmentation import RESNET_NAMES, SEGFORMER_NAMES
from hardedge.models.mmsegmentation.segformer import SIZES

Weights = dict[str, Tensor]
BLOCKS = {"r50": (3, 4, 6, 3), "r101": (3, 4, 23, 3)}
STRIDES = (1, 2, 1, 1)
# of the first block of each stage, and of the rest: dilations (1, 1, 2, 4) with contract_dilation
DILATIONS = ((1, 1), (1, 1), (1, 2), (2, 4))


def convolved(x: Tensor, weights: Weights, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
    """The convolution of that name; its groups follow from its shape."""
    weight = weights[f"{name}.weight"]
    padding = dilation * (weight.shape[-1] // 2)
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, weights.get(f"{name}.bias"), stride, padding, dilation, groups)


def normed(x: Tensor, weights: Weights, name: str) -> Tensor:
    parts = (weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts)


def module(x: Tensor, weights: Weights, name: str, dilation: int = 1) -> Tensor:
    """A ConvModule."""
    return normed(convolved(x, weights, f"{name}.conv", dilation=dilation), weights, f"{name}.bn").relu()


def separable(x: Tensor, weights: Weights, name: str, dilation: int = 1) -> Tensor:
    return module(module(x, weights, f"{name}.depthwise_conv", dilation), weights, f"{name}.pointwise_conv")


def backbone(x: Tensor, weights: Weights, blocks: tuple[int, ...]) -> list[Tensor]:
    for place, stride in ((0, 2), (3, 1), (6, 1)):
        at = f"backbone.stem.{place}"
        x = normed(convolved(x, weights, at, stride), weights, f"backbone.stem.{place + 1}").relu()
    x = F.max_pool2d(x, 3, 2, 1)
    maps = []
    for stage, count in enumerate(blocks):
        for block in range(count):
            at = f"backbone.layer{stage + 1}.{block}"
            stride, dilation = (STRIDES[stage], DILATIONS[stage][0]) if block == 0 else (1, DILATIONS[stage][1])
            inner = normed(convolved(x, weights, f"{at}.conv1"), weights, f"{at}.bn1").relu()
            inner = normed(convolved(inner, weights, f"{at}.conv2", stride, dilation), weights, f"{at}.bn2").relu()
            inner = normed(convolved(inner, weights, f"{at}.conv3"), weights, f"{at}.bn3")
            if block == 0:
                x = normed(convolved(x, weights, f"{at}.downsample.0", stride), weights, f"{at}.downsample.1")
            x = (x + inner).relu()
        maps.append(x)
    return maps


def decoded(maps: list[Tensor], weights: Weights, head: str, aligned: bool) -> Tensor:
    high, at = maps[-1], "decode_head"

    def resized(x: Tensor, other: Tensor) -> Tensor:
        return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=aligned)

    if head == "fcn":
        inner = module(module(high, weights, f"{at}.convs.0"), weights, f"{at}.convs.1")
        x = module(torch.cat([high, inner], 1), weights, f"{at}.conv_cat")
    elif head == "psp":
        pooled = [
            resized(module(F.adaptive_avg_pool2d(high, grid), weights, f"{at}.psp_modules.{number}.1"), high)
            for number, grid in enumerate((1, 2, 3, 6))
        ]
        x = module(torch.cat([high, *pooled], 1), weights, f"{at}.bottleneck")
    else:
        atrous, mixing = (module, module) if head == "aspp" else (separable, separable)
        scales = [resized(module(F.adaptive_avg_pool2d(high, 1), weights, f"{at}.image_pool.1"), high)]
        scales.append(module(high, weights, f"{at}.aspp_modules.0"))
        scales += [atrous(high, weights, f"{at}.aspp_modules.{place}", 12 * place) for place in (1, 2, 3)]
        x = mixing(torch.cat(scales, 1), weights, f"{at}.bottleneck")
    if head == "sep_aspp":
        low = module(maps[0], weights, f"{at}.c1_bottleneck")
        x = torch.cat([resized(x, low), low], 1)
        x = separable(separable(x, weights, f"{at}.sep_bottleneck.0"), weights, f"{at}.sep_bottleneck.1")
    return convolved(x, weights, f"{at}.conv_seg")


QUICK = ("mmseg_psp_r50_aligned", "mmseg_sep_aspp_r50")
MARKED = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RESNET_NAMES]


@pytest.mark.parametrize("name", MARKED)
def test_the_logits_are_those_of_the_configurations_description(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name=name, num_classes=4)).eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.normal_(part.bias, std=0.1)
    weights = network.state_dict()
    images_BCHW = torch.randn(1, 3, 65, 97)
    head, _, resnet = name.removeprefix("mmseg_").removesuffix("_aligned").rpartition("_")
    aligned = name.endswith("_aligned")
    with torch.no_grad():
        low_BChw = decoded(backbone(images_BCHW, weights, BLOCKS[resnet]), weights, head, aligned)
        expected_BCHW = F.interpolate(low_BChw, (65, 97), mode="bilinear", align_corners=aligned)
        found_BCHW = network(images_BCHW)
    # float32: grids are pooled by matrix products in the network
    torch.testing.assert_close(found_BCHW, expected_BCHW, rtol=1e-4, atol=1e-4 * float(expected_BCHW.abs().max()))
    assert found_BCHW.std() > 0


def layer_norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)


def attended(x: Tensor, weights: Weights, at: str, heads: int, reduction: int, size: torch.Size) -> Tensor:
    """torch's own multi-head attention with these weights."""
    seen = x
    if reduction > 1:
        grid = x.transpose(1, 2).reshape(x.shape[0], -1, *size)
        weight, bias = (weights[f"{at}.sr.{part}"] for part in ("weight", "bias"))
        seen = layer_norm(F.conv2d(grid, weight, bias, reduction).flatten(2).transpose(1, 2), weights, f"{at}.norm")
    attention = nn.MultiheadAttention(x.shape[-1], heads, batch_first=True).eval()
    attention.load_state_dict({key: weights[f"{at}.attn.{key}"] for key in attention.state_dict()})
    found: Tensor = attention(x, seen, seen, need_weights=False)[0]
    return found


def segformer_maps(x: Tensor, weights: Weights, blocks: tuple[int, ...]) -> list[Tensor]:
    maps = []
    for stage, count in enumerate(blocks):
        at = f"backbone.layers.{stage}"
        x = convolved(x, weights, f"{at}.0.projection", 2 if stage else 4)
        size = x.shape[-2:]
        tokens = layer_norm(x.flatten(2).transpose(1, 2), weights, f"{at}.0.norm")
        for number in range(count):
            block = f"{at}.1.{number}"
            heads, reduction = (1, 2, 5, 8)[stage], (8, 4, 2, 1)[stage]
            inner = layer_norm(tokens, weights, f"{block}.norm1")
            tokens = tokens + attended(inner, weights, f"{block}.attn", heads, reduction, size)
            grid = layer_norm(tokens, weights, f"{block}.norm2").transpose(1, 2).reshape(x.shape[0], -1, *size)
            grid = convolved(convolved(grid, weights, f"{block}.ffn.layers.0"), weights, f"{block}.ffn.layers.1")
            grid = convolved(F.gelu(grid), weights, f"{block}.ffn.layers.4")
            tokens = tokens + grid.flatten(2).transpose(1, 2)
        x = layer_norm(tokens, weights, f"{at}.2").transpose(1, 2).reshape(x.shape[0], -1, *size)
        maps.append(x)
    return maps


SEGFORMERS = [pytest.param(name, marks=() if name.endswith("b0") else pytest.mark.slow) for name in SEGFORMER_NAMES]


@pytest.mark.parametrize("name", SEGFORMERS)
def test_a_segformers_logits_are_those_of_the_description(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name=name, num_classes=4)).eval()
    for key, tensor in network.state_dict().items():
        if key.endswith(("bias", "running_mean")):
            nn.init.normal_(tensor, std=0.1)
    weights = network.state_dict()
    images_BCHW = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        maps = segformer_maps(images_BCHW, weights, SIZES[name[-2:]].blocks)
        mixed = [
            F.interpolate(module(x, weights, f"decode_head.convs.{place}"), maps[0].shape[2:], mode="bilinear")
            for place, x in enumerate(maps)
        ]
        low = convolved(
            module(torch.cat(mixed, 1), weights, "decode_head.fusion_conv"), weights, "decode_head.conv_seg"
        )
        expected_BCHW = F.interpolate(low, (65, 97), mode="bilinear")
        found_BCHW = network(images_BCHW)
    # float32: attention is summed in another order
    torch.testing.assert_close(found_BCHW, expected_BCHW, rtol=1e-4, atol=1e-4 * float(expected_BCHW.abs().max()))
    assert found_BCHW.std() > 0


def test_a_wrong_name_has_the_nearest_one() -> None:
    with pytest.raises(BadInput, match="Did you mean mmseg_psp_r50"):
        build_network(NetworkSpec(name="mmseg_psp_r5", num_classes=4))
