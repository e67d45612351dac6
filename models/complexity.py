"""What each network weighs: parameters and multiply-adds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from hardedge.console import progress_bar
from hardedge.contracts import Contract, NetworkSpec
from hardedge.models.architecture import Architecture
from hardedge.models.architectures import ARCHITECTURES, build_network

# Cityscapes: what published figures are for
NUM_CLASSES = 19
HEIGHT, WIDTH = 512, 1024


@dataclass(frozen=True, kw_only=True)
class NetworkFacts(Contract):
    """One network: parameters, multiply-adds, what training can add to it, and the extra that installs it."""

    name: str
    parameters: int
    multiply_adds: int
    auxiliary: bool
    pretrained: bool
    extra: str


@dataclass(frozen=True, kw_only=True)
class NetworkTable(Contract):
    """The networks, for `num_classes` classes and an image of `size` (height, width)."""

    num_classes: int
    size: tuple[int, int]
    networks: tuple[NetworkFacts, ...]


class _FiguresOnCpu(TorchFunctionMode):
    """On the meta device, lets what a constructor reads back as figures (rates of stochastic depth) be numbers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        on_cpu = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **on_cpu | (kwargs or {}))


def network_table() -> NetworkTable:
    """Every listed network's facts; built and run without memory for weights or maps, so it takes seconds."""
    facts = tuple(network_facts(known) for known in progress_bar(ARCHITECTURES.values(), "networks"))
    return NetworkTable(num_classes=NUM_CLASSES, size=(HEIGHT, WIDTH), networks=facts)


def network_facts(known: Architecture, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NetworkFacts:
    """One network's facts, for 19 classes and an image of (height, width)."""
    network = network_without_memory(known.name).eval()
    return NetworkFacts(
        name=known.name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=network_multiply_adds(network, size),
        auxiliary=known.auxiliary is not None,
        pretrained=known.pretrained is not None,
        extra="train",
    )


def network_without_memory(name: str) -> nn.Module:
    """A network for 19 classes whose tensors have shapes and no values."""
    with torch.device("meta"), _FiguresOnCpu():
        return build_network(NetworkSpec(name=name, num_classes=NUM_CLASSES))


def network_multiply_adds(network: nn.Module, size: tuple[int, int]) -> int:
    """The multiply-adds of convolutions and matrix products for one image, as torch's counter sees them; its device."""
    image_BCHW = torch.empty(1, 3, *size, device=next(network.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image_BCHW)
    # it counts a multiply-add as two operations
    return int(counter.get_total_flops()) // 2


def network_table_text(table: NetworkTable) -> str:
    """The table as text, with what its figures are."""
    width = max(len(facts.name) for facts in table.networks)
    lines = [f"{'network':{width}}  parameters  multiply-adds  auxiliary  pretrained  extra"]
    for facts in table.networks:
        figures = f"{facts.parameters / 1e6:8.2f} M  {facts.multiply_adds / 1e9:11.2f} G"
        has = [f"{'yes' if holds else 'no':9}" for holds in (facts.auxiliary, facts.pretrained)]
        lines.append(f"{facts.name:{width}}  {figures}  {has[0]}  {has[1]}   {facts.extra}")
    height_width = "x".join(map(str, table.size))
    lines.append(
        f"\nFor {table.num_classes} classes; multiply-adds of convolutions and matrix products at {height_width}."
    )
    lines.append("FAMILY_ENCODER is a network too: deeplabv3, deeplabv3plus, pspnet, upernet, fpn or segformer on any")
    lines.append("encoder of segmentation-models-pytorch, timm's as tu-NAME, for example fpn_mobilenet_v2.")
    return "\n".join(lines)
