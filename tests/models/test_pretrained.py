"""Weights for a backbone: from files as the libraries write them, and clear words where they do not fit."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, resnet18, resnet50

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import architecture, build_network
from hardedge.models.pretrained import load_backbone, pretrained_weights, weights_from_file
from hardedge.models.realtime.pidnet import FRESH as PIDNET_FRESH


def loaded(name: str, path: Path) -> tuple[nn.Module, str]:
    network = build_network(NetworkSpec(name=name, num_classes=4))
    return network, load_backbone(network, name, weights_from_file(path))


def written(tensors: object, path: Path) -> Path:
    torch.save(tensors, path)
    return path


def values(module: nn.Module) -> list[Tensor]:
    return [tensor for name, tensor in module.state_dict().items() if "num_batches_tracked" not in name]


@pytest.mark.parametrize(
    ("name", "classifier", "trunk", "left"),
    [
        ("deeplabv3plus_resnet18", resnet18, lambda net: nn.Sequential(*list(net.children())[:-1]), "fc.weight, fc.b"),
        ("deeplabv3_resnet50", resnet50, lambda net: nn.Sequential(*list(net.children())[:-1]), "fc.weight, fc.b"),
        ("lraspp_mobilenet_v3_large", mobilenet_v3_large, lambda net: net.features, "classifier.0.weight, "),
        (
            "upernet_tu-convnext_tiny",
            lambda: timm.create_model("convnext_tiny"),
            lambda net: nn.Sequential(net.stem, net.stages),
            "head.norm.weight, ",
        ),
        (
            "hrnetv2_w18_ocr",
            lambda: timm.create_model("hrnet_w18"),
            lambda net: nn.Sequential(*(part for key, part in net.named_children() if "conv" in key or "stage" in key)),
            "incre_modules.0.0.conv1.weight, ",
        ),
        (
            "segformer_b0",
            lambda: build_network(NetworkSpec(name="segformer_b0", num_classes=7)),
            lambda net: net.encoder,
            "decoder.mlp_stage.0.linear.weight, ",
        ),
    ],
)
def test_the_libraries_classifiers_fit(name: str, classifier, trunk, left: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Under their own names, with prefixes (MobileNetV3's features) and with timm's dots for underscores."""
    torch.manual_seed(1)
    theirs = classifier()
    network, told = loaded(name, written(theirs.state_dict(), tmp_path / "weights.pth"))
    backbone = network.get_submodule(architecture(name).tap)
    mine = {(tuple(tensor.shape), tensor.double().sum().item()) for tensor in values(backbone)}
    assert {(tuple(tensor.shape), tensor.double().sum().item()) for tensor in values(trunk(theirs))} <= mine
    assert f"not used: {left}" in told


def test_what_is_loaded_is_what_was_given(tmp_path: Path) -> None:
    theirs = resnet18()
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    network, told = loaded("deeplabv3plus_resnet18", tmp_path / "weights.safetensors")
    expected = theirs.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in network.encoder.state_dict().items())
    what, left = told.split("; not used: ")
    assert what == f"120 tensors of the backbone from {tmp_path}/weights.safetensors"
    assert sorted(left.split(", ")) == ["fc.bias", "fc.weight"]


def lukemelas_names(names: list[str]) -> dict[str, str]:
    """timm's names of an EfficientNet and what EfficientNet-PyTorch calls them: blocks are counted through."""
    blocks = list(dict.fromkeys(name.rsplit(".", 2)[0] for name in names if ".conv_dw." in name))
    separable = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    expanding = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    expanding |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    found = {}
    for name in names:
        block, part, kind = name.rsplit(".", 2) if name.startswith("blocks") else ("", *name.split(".", 1))
        inside = separable if f"{block}.conv_pwl.weight" not in names else expanding
        found[name] = f"_blocks.{blocks.index(block)}.{inside[part]}.{kind}" if block else f"{outside[part]}.{kind}"
    return found


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("lite", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_efficientnet_in_the_names_of_lukemelas_fits(lite: str, prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = timm.create_model(lite).state_dict()
    renamed = lukemelas_names(list(theirs))
    assert {"_conv_stem.weight", "_blocks.0._bn1.bias", "_blocks.1._bn0.bias"} <= set(renamed.values())
    path = written({prefix + renamed[name]: theirs[name] for name in theirs}, tmp_path / "weights.pth")
    network, told = loaded(f"fpn_tu-{lite}", path)
    mine = network.get_submodule("encoder.model").state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert told.startswith(f"{len(mine)} tensors of the backbone")
    assert f"not used: {prefix}_conv_head.weight" in told


def test_efficientnet_of_another_depth_is_refused_by_name(tmp_path: Path) -> None:
    theirs = timm.create_model("efficientnet_lite2").state_dict()
    renamed = lukemelas_names(list(theirs))
    path = written({renamed[name]: theirs[name] for name in theirs}, tmp_path / "weights.pth")
    with pytest.raises(BadInput, match=r"expected \(\d+"):
        loaded("fpn_tu-efficientnet_lite0", path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: {"epoch": 3, "network": w},
        lambda w: {f"module.{key}": w[key] for key in w},
        # mmsegmentation's, and a training's with what else it had
        lambda w: {"meta": {"iter": 1}, "state_dict": w, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
        lambda w: {"model": w, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}, "ema": {"a": torch.zeros(2)}},
    ],
)
def test_wrapped_and_prefixed_files_fit(wrap, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    theirs = resnet18()
    network, _ = loaded("fpn_resnet18", written(wrap(theirs.state_dict()), tmp_path / "weights.pth"))
    assert torch.equal(network.encoder.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def test_files_of_old_libraries_have_no_batch_counters(tmp_path: Path) -> None:
    weights = {key: value for key, value in resnet18().state_dict().items() if "num_batches" not in key}
    network, _ = loaded("fpn_resnet18", written(weights, tmp_path / "weights.pth"))
    assert torch.equal(network.encoder.bn1.running_var, weights["bn1.running_var"])


@pytest.mark.parametrize(
    ("name", "under", "fresh"),
    [
        ("stdc1", "cp.backbone.", ("conv_out", "ffm", "cp.arm", "cp.conv")),
        ("ddrnet23_slim", "", ("spp", "final_layer")),
        ("pidnet_s", "", PIDNET_FRESH),
    ],
)
def test_the_backbone_of_a_real_time_network_is_loaded_and_the_rest_starts_fresh(
    name: str, under: str, fresh: tuple[str, ...], tmp_path: Path
) -> None:
    spec = NetworkSpec(name=name, num_classes=4)
    torch.manual_seed(1)
    theirs = build_network(spec).state_dict()
    weights = {
        key.removeprefix(under): value
        for key, value in theirs.items()
        if key.startswith(under) and not key.startswith(fresh)
    }
    torch.manual_seed(0)
    network = build_network(spec)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    path = written({f"module.{key}": value for key, value in weights.items()}, tmp_path / "imagenet.pth")
    load_backbone(network, name, weights_from_file(path))
    after = network.state_dict()
    assert all(torch.equal(after[under + key], value) for key, value in weights.items())
    rest = [key for key in after if key.startswith(fresh)]
    assert rest
    assert all(torch.equal(after[key], before[key]) for key in rest)


def test_all_faults_are_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    weights = resnet18().state_dict()
    del weights["layer1.0.conv1.weight"]
    weights["layer2.0.bn1.bias"] = torch.zeros(7)
    network = build_network(NetworkSpec(name="fpn_resnet18", num_classes=4))
    before = network.encoder.conv1.weight.clone()
    path = written(weights, tmp_path / "weights.pth")
    with pytest.raises(BadInput) as caught:
        load_backbone(network, "fpn_resnet18", weights_from_file(path))
    assert str(caught.value).splitlines() == [
        f"{path} does not fit the encoder of fpn_resnet18:",
        "  layer1.0.conv1.weight: missing",
        "  layer2.0.bn1.bias: (7,), expected (128,)",
        "Give the weights of that backbone, under its library's names.",
    ]
    assert torch.equal(network.encoder.conv1.weight, before)


def test_another_networks_weights_do_not_fit(tmp_path: Path) -> None:
    path = written(mobilenet_v3_large().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(BadInput, match=r"(?s)conv1.weight: missing.*and \d+ more\nGive the weights"):
        loaded("fpn_resnet18", path)


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "neither safetensors nor a torch file of tensors alone"),
        (b"not weights at all", "neither safetensors nor a torch file of tensors alone"),
        (pickle.dumps(Code(), protocol=2), "neither safetensors nor a torch file of tensors alone"),
    ],
)
def test_a_file_without_weights_is_refused_and_no_code_runs(
    content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        weights_from_file(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"a": {"x": 1}, "b": {"y": 2}}])
def test_a_torch_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no state_dict in it"):
        weights_from_file(written(content, tmp_path / "weights.pth"))


def test_a_digest_is_that_of_names_and_values(tmp_path: Path) -> None:
    weights = resnet18().state_dict()
    first = weights_from_file(written(weights, tmp_path / "first.pth"))
    second = weights_from_file(written(dict(reversed(weights.items())), tmp_path / "second.pth"))
    assert first.digest == second.digest
    weights["fc.bias"][0] += 1
    assert weights_from_file(written(weights, tmp_path / "third.pth")).digest != first.digest


def test_networks_without_pretrained_weights_say_so() -> None:
    for name in ("bisenetv2", "mynet:build"):
        with pytest.raises(BadInput, match=f"{name}: no library has pretrained weights for it"):
            pretrained_weights(name)


def test_a_users_own_networks_backbone_is_not_known(tmp_path: Path) -> None:
    weights = weights_from_file(written(resnet18().state_dict(), tmp_path / "weights.pth"))
    with pytest.raises(BadInput, match="Load the weights in your own function"):
        load_backbone(nn.Conv2d(3, 3, 1), "mynet:build", weights)


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "upernet_tu-convnext_tiny"])
def test_without_a_connection_a_file_is_asked_for(name: str, tmp_path: Path) -> None:
    """A process whose way out is a closed port, and whose libraries have nothing stored."""
    program = f"""
from hardedge.errors import Unavailable
from hardedge.models.pretrained import pretrained_weights
try:
    pretrained_weights({name!r})
except Unavailable as error:
    print(error)
"""
    closed = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    stored = {"TORCH_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | closed | stored, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"{name}: its pretrained weights cannot be had here ("), done.stderr
    assert done.stdout.endswith("Connect this machine, or fetch them elsewhere and give --backbone-weights FILE.\n")
