"""What is known of each network, as `python docs/generate.py --networks` wrote it down: to list them takes no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hardedge.contracts import Contract

STORED: Final = Path(__file__).parent / "models" / "listing" / "networks.json"


@dataclass(frozen=True, kw_only=True)
class NetworkFacts(Contract):
    """One network: what it weighs, the stride of its logits, what training can add to it, the extra that installs it.

    `training_only` are the heads of its published training, which are never in it. `published` is an mIoU on
    Cityscapes' validation images in percent, `source` whose, `licence` that of the published weights; empty where
    nothing is known to us.
    """

    name: str
    parameters: int
    multiply_adds: int
    stride: int
    auxiliary: bool
    training_only: tuple[str, ...]
    pretrained: bool
    published: float | None
    source: str
    licence: str
    extra: str


@dataclass(frozen=True, kw_only=True)
class NetworkTable(Contract):
    """The networks, for `num_classes` classes and an image of `size` (height, width)."""

    num_classes: int
    size: tuple[int, int]
    networks: tuple[NetworkFacts, ...]


def read_network_table() -> NetworkTable:
    """The stored table: what `hardedge.models.complexity.network_table` finds, which a test compares."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    facts = (NetworkFacts(**entry | {"training_only": tuple(entry["training_only"])}) for entry in stored["networks"])
    return NetworkTable(num_classes=stored["num_classes"], size=tuple(stored["size"]), networks=tuple(facts))


def network_table_text(table: NetworkTable) -> str:
    """The table as text, with what its figures are."""
    width = max(len(facts.name) for facts in table.networks)
    heads = max(len(_heads(facts)) for facts in table.networks)
    title = f"{'network':{width}}  parameters  multiply-adds  stride  {'training only':{heads}}  pretrained  published"
    lines = [title]
    for facts in table.networks:
        figures = f"{facts.parameters / 1e6:8.2f} M  {facts.multiply_adds / 1e9:11.2f} G  {facts.stride:6}"
        pretrained = "yes" if facts.pretrained else "no"
        published = f"{facts.published:.2f} %, {facts.source}" if facts.published else ""
        line = f"{facts.name:{width}}  {figures}  {_heads(facts):{heads}}  {pretrained:10}  {published}"
        lines.append(line.rstrip())
    height_width = "x".join(map(str, table.size))
    lines.append(
        f"\nFor {table.num_classes} classes; multiply-adds of convolutions and matrix products at {height_width}."
    )
    lines.append("published: mIoU on Cityscapes' validation images; the licence of those weights is in --json.")
    lines.append("FAMILY_ENCODER is a network too: deeplabv3, deeplabv3plus, pspnet, upernet, fpn or segformer on any")
    lines.append("encoder of segmentation-models-pytorch, timm's as tu-NAME, for example fpn_mobilenet_v2.")
    return "\n".join(lines)


def _heads(facts: NetworkFacts) -> str:
    return ", ".join(facts.training_only)
