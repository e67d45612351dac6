"""Files as released code and libraries write them, with random weights: recognised, and stripped without --drop."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_resnet50

from hardedge.cli import cli
from hardedge.contracts import NetworkSpec, Normalisation
from hardedge.errors import BadInput
from hardedge.models import ARCHITECTURES, build_network
from hardedge.models.realtime.residual import PreActivatedHead
from hardedge.models.realtime.stdc import Head
from hardedge.train.stripping import contents, list_contents, strip
from hardedge.train.stripping.layouts import COUNTER
from hardedge.train.stripping.stage import Renormalised
from hardedge.train.stripping.weight_files import read_weight_file

Weights = dict[str, Tensor]
CLASSES = 3


def own(name: str, seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    return build_network(NetworkSpec(name=name, num_classes=CLASSES)).state_dict()


def under(prefix: str, tensors: Weights) -> Weights:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def pidnet() -> tuple[Any, Weights]:
    """As the release's wrapper of network and losses saves it."""
    weights = own("pidnet_s")
    heads = {"seghead_p.": PreActivatedHead(64, 128, CLASSES), "seghead_d.": PreActivatedHead(64, 32, 1)}
    whole = weights | {
        key: tensor for at, head in heads.items() for key, tensor in under(at, head.state_dict()).items()
    }
    return under("model.", whole) | {"sem_loss.criterion.weight": torch.ones(CLASSES)}, weights


def stdc() -> tuple[Any, Weights]:
    """Every stage twice, a classifier that is never called, and in-place BatchNorms in the heads."""
    weights = own("stdc1")
    whole = {key: tensor for key, tensor in weights.items() if "backbone" in key or not key.endswith(COUNTER)}
    expected = dict(weights)
    for key in weights:
        if key.endswith("running_var") and "backbone" not in key:
            scale = key.replace("running_var", "weight")
            whole[scale] = torch.randn_like(whole[scale])
            expected[scale] = whole[scale].abs() + 1e-5
    for stage, places in {"x2": (0,), "x4": (1,), "x8": (2, 3), "x16": (4, 5), "x32": (6, 7)}.items():
        for number, place in enumerate(places):
            at = f"cp.backbone.features.{place}."
            copies = {key.removeprefix(at): tensor for key, tensor in weights.items() if key.startswith(at)}
            whole |= under(f"cp.backbone.{stage}.0.{number}.", copies)
    heads = {"conv_out16.": (128, CLASSES), "conv_out32.": (128, CLASSES), "conv_out_sp8.": (256, 1)}
    for at, (inner, channels) in heads.items():
        whole |= under(at, Head(inner, 64, channels).state_dict())
    return whole | {"cp.backbone.linear.weight": torch.ones(10, 10)}, expected


def ddrnet() -> tuple[Any, Weights]:
    """As Lightning saves it, with DistributedDataParallel inside."""
    weights = own("ddrnet23_slim")
    whole = weights | under("seghead_extra.", PreActivatedHead(64, 64, CLASSES).state_dict())
    return {"epoch": 3, "state_dict": under("model.module.", whole), "optimizer_states": [{"state": {}}]}, weights


def ppliteseg() -> tuple[Any, Weights]:
    """As super-gradients saves it: the last weights and their average."""
    last, average = own("ppliteseg_t"), own("ppliteseg_t", seed=1)
    heads = {"aux_heads.0.0.seg_head.2.weight": torch.ones(CLASSES, 32, 1, 1)}
    return {
        "net": under("module.", last | heads),
        "ema_net": under("module.", average | heads),
        "acc": torch.tensor(0.5),
        "epoch": 7,
    }, average


def fast_scnn() -> tuple[Any, Weights]:
    weights = own("fast_scnn")
    return weights | {"auxlayer.4.weight": torch.ones(CLASSES, 32, 1, 1)}, weights


def mmsegmentation() -> tuple[Any, Weights]:
    """As mmsegmentation 0.x saves it, with HL's branch."""
    weights = own("mmseg_psp_r50")
    heads = {"auxiliary_head.conv_seg.weight": torch.ones(CLASSES, 256, 1, 1)}
    heads["weigh_head.conv_seg.weight"] = torch.ones(1, 512, 1, 1)
    meta = {"CLASSES": ("sky", "road", "pole"), "PALETTE": [[0, 0, 0]] * CLASSES, "iter": 40_000}
    return {"meta": meta, "state_dict": weights | heads, "optimizer": {"state": {}}}, weights


def bisenetv2() -> tuple[Any, Weights]:
    weights = own("bisenetv2_coincheung")
    return weights | {f"aux{stage}.conv.conv.weight": torch.ones(1) for stage in ("2", "3", "4", "5_4")}, weights


def torchvision() -> tuple[Any, Weights]:
    torch.manual_seed(0)
    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
    weights = network.state_dict()
    return weights, {key: tensor for key, tensor in weights.items() if not key.startswith("aux_classifier")}


def smp() -> tuple[Any, Weights]:
    weights = own("fpn_resnet18")
    return {"model_state_dict": weights | {"classification_head.3.weight": torch.ones(2, 512)}}, weights


LAYOUTS: dict[str, tuple[str, Callable[[], tuple[Any, Weights]], str, set[str]]] = {
    "XuJiacong/PIDNet": ("pidnet_s", pidnet, "the file, names behind 'model.'", {"seghead_p.*", "seghead_d.*"}),
    "MichaelFan01/STDC-Seg": ("stdc1", stdc, "the file", {"conv_out16.*", "conv_out32.*", "conv_out_sp*"}),
    "ydhongHIT/DDRNet": (
        "ddrnet23_slim",
        ddrnet,
        "state_dict, names behind 'model.module.'",
        {"seghead_extra.*"},
    ),
    "Deci-AI/super-gradients": ("ppliteseg_t", ppliteseg, "ema_net, names behind 'module.'", {"aux_heads.*"}),
    "Tramac/Fast-SCNN-pytorch": ("fast_scnn", fast_scnn, "the file", {"auxlayer.*"}),
    "open-mmlab/mmsegmentation": (
        "mmseg_psp_r50",
        mmsegmentation,
        "state_dict",
        {"auxiliary_head.*", "weigh_head.*"},
    ),
    "CoinCheung/BiSeNet": (
        "bisenetv2_coincheung",
        bisenetv2,
        "the file",
        {"aux2.*", "aux3.*", "aux4.*", "aux5_4.*"},
    ),
    "torchvision": ("deeplabv3_resnet50", torchvision, "the file", {"aux_classifier.*"}),
    "segmentation-models-pytorch": ("fpn_resnet18", smp, "model_state_dict", {"classification_head.*"}),
}
QUICK = ("XuJiacong/PIDNet", "MichaelFan01/STDC-Seg", "Deci-AI/super-gradients", "Tramac/Fast-SCNN-pytorch")
MARKED = [pytest.param(title, marks=() if title in QUICK else pytest.mark.slow) for title in LAYOUTS]


@pytest.mark.parametrize("title", MARKED)
def test_a_file_of_that_layout_is_stripped_without_an_option(
    title: str, make_tiny_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    network, make, taken, training_only = LAYOUTS[title]
    content, expected = make()
    torch.save(content, tmp_path / "released.pth")
    data = make_tiny_dataset(tmp_path / "data", train=1, val=1, test=1)
    made = strip(tmp_path / "released.pth", network, data, tmp_path / "out")
    assert (made.layout, made.taken) == (title, taken)
    removed = {one.pattern for one in made.removed if one.reason == "training-only"}
    assert removed - {"sem_loss.*"} == training_only
    found = load_file(tmp_path / "out/weights.safetensors")
    assert found.keys() == build_network(NetworkSpec(name=network, num_classes=CLASSES)).state_dict().keys()
    assert all(torch.equal(found[name], expected[name]) for name in found if not name.endswith(COUNTER))


def test_copies_of_a_stage_that_differ_are_refused(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    content, _ = stdc()
    content["cp.backbone.x4.0.0.conv.weight"] = torch.zeros_like(content["cp.backbone.x4.0.0.conv.weight"])
    torch.save(content, tmp_path / "spoilt.pth")
    data = make_tiny_dataset(tmp_path / "data", train=1, val=1, test=1)
    with pytest.raises(BadInput, match=r"x4\.0\.0\.conv\.weight and .*features\.1\.conv.weight should be the same"):
        strip(tmp_path / "spoilt.pth", "stdc1", data, tmp_path / "out")


def test_a_network_of_another_size_is_named(
    make_tiny_dataset: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "ARCHITECTURES", {name: ARCHITECTURES[name] for name in ("fast_scnn", "pidnet_s")})
    monkeypatch.setattr(contents, "UNLISTED", {})
    torch.save(pidnet()[0], tmp_path / "pidnet.pth")
    data = make_tiny_dataset(tmp_path / "data", train=1, val=1, test=1)
    with pytest.raises(BadInput) as caught:
        strip(tmp_path / "pidnet.pth", "ddrnet23_slim", data, tmp_path / "out")
    message = str(caught.value)
    assert "down3.0.weight: missing" in message
    assert ": left over; the network has none" in message
    assert "nearest to pidnet_s (" in message


def test_another_number_of_classes_is_refused(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    content = {"meta": {"CLASSES": ("road", "sky")}, "state_dict": fast_scnn()[0]}
    torch.save(content, tmp_path / "two.pth")
    data = make_tiny_dataset(tmp_path / "data", train=1, val=1, test=1)
    with pytest.raises(BadInput, match=r"trained on 2 classes \(road, sky, ...\), and .* has 3"):
        strip(tmp_path / "two.pth", "fast_scnn", data, tmp_path / "out")


class Harmful:
    """An object whose unpickling makes a folder, by a function."""

    def __init__(self, function: Callable[[str], None], folder: Path) -> None:
        self.function = function
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, (str(self.folder),)


def make_folder(path: str) -> None:
    Path(path).mkdir()


def test_what_a_pickle_names_is_not_run(tmp_path: Path) -> None:
    content = {"state_dict": {"a.weight": torch.ones(2)}, "message_hub": Harmful(make_folder, tmp_path / "made")}
    torch.save(content, tmp_path / "harmful.pth")
    file = read_weight_file(tmp_path / "harmful.pth")
    assert not (tmp_path / "made").exists()
    assert file.set_aside == (f"{__name__}.make_folder",)
    assert list(file.parts) == ["state_dict"]
    assert torch.equal(file.parts["state_dict"]["a.weight"], torch.ones(2))


def test_a_pickle_that_names_the_operating_system_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "b": Harmful(os.mkdir, tmp_path / "made")}, tmp_path / "harmful.pth")
    with pytest.raises(BadInput, match="neither safetensors nor a torch file of tensors"):
        read_weight_file(tmp_path / "harmful.pth")
    assert not (tmp_path / "made").exists()


def test_the_contents_of_a_file_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "ARCHITECTURES", {name: ARCHITECTURES[name] for name in ("fast_scnn", "ppliteseg_t")})
    monkeypatch.setattr(contents, "UNLISTED", {})
    content = ppliteseg()[0] | {"meta": {"CLASSES": ["a", "b", "c"]}}
    torch.save(content, tmp_path / "averaged.pth")
    found = list_contents(tmp_path / "averaged.pth")
    assert (found.network, found.layout, found.classes) == (
        "ppliteseg_t",
        "Deci-AI/super-gradients",
        ("a", "b", "c"),
    )
    assert found.copies == ("ema_net, names behind 'module.'", "net, names behind 'module.'")
    assert found.training_only == ("aux_heads.*",)
    # the classifier is of other classes than the 19 that networks are compared with
    assert found.expected - found.found == 1
    assert {part.part for part in found.parts} == {"net", "ema_net", ""}
    (net,) = (part for part in found.parts if part.part == "net")
    assert list(net.groups) == ["module.encoder", "module.decoder", "module.seg_head", "module.aux_heads"]
    assert sum(net.groups.values()) == net.parameters
    text = CliRunner().invoke(cli, ["strip", str(tmp_path / "averaged.pth"), "--list"], catch_exceptions=False).stdout
    assert "looks like ppliteseg_t in the layout of Deci-AI/super-gradients" in text
    assert "    would take ema_net, names behind 'module.'\n    also there: net, names behind 'module.'" in text
    assert "for training only: aux_heads.*" in text


def test_another_normalisation_is_used_and_kept(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    torch.save(fast_scnn()[0], tmp_path / "released.pth")
    data = make_tiny_dataset(tmp_path / "data", train=1, val=1, test=1)
    other = Normalisation(mean=(0.3257, 0.3690, 0.3223), std=(0.2112, 0.2148, 0.2115))
    made = strip(tmp_path / "released.pth", "fast_scnn", data, tmp_path / "out", normalisation=other)
    assert made.checkpoint.normalisation == other


def test_a_renormalised_network_sees_what_it_was_trained_on() -> None:
    other = Normalisation(mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))
    pixels_BCHW = torch.rand(2, 3, 5, 6)

    def normalised(by: Normalisation) -> Tensor:
        mean, std = (torch.tensor(values)[:, None, None] for values in (by.mean, by.std))
        return (pixels_BCHW - mean) / std

    network = Renormalised(nn.Identity(), other)
    torch.testing.assert_close(network(normalised(Normalisation())), normalised(other))
    assert copy.deepcopy(network).state_dict().keys() == {"scale", "shift"}
