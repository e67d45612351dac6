"""What each network weighs, and what is known of it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from hardedge.console import progress_bar
from hardedge.contracts import NetworkSpec
from hardedge.models.architecture import Architecture
from hardedge.models.architectures import ARCHITECTURES, build_network
from hardedge.models.listing.published import PUBLISHED
from hardedge.networks import NetworkFacts, NetworkTable

# Cityscapes: what published figures are for
NUM_CLASSES = 19
HEIGHT, WIDTH = 512, 1024
PROBE = 256


class _FiguresOnCpu(TorchFunctionMode):
    """On the meta device, lets what a constructor reads back as figures (rates of stochastic depth) be numbers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        on_cpu = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **on_cpu | (kwargs or {}))


def network_table() -> NetworkTable:
    """Every listed network's facts, as `hardedge.networks` has them stored: built and run without memory for maps."""
    facts = tuple(network_facts(known) for known in progress_bar(ARCHITECTURES.values(), "networks"))
    return NetworkTable(num_classes=NUM_CLASSES, size=(HEIGHT, WIDTH), networks=facts)


def network_facts(known: Architecture, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NetworkFacts:
    """One network's facts, for 19 classes and an image of (height, width)."""
    network = network_without_memory(known.name).eval()
    published = PUBLISHED.get(known.name)
    heads = {"auxiliary": known.auxiliary, "boundary": known.boundary, "detail": known.detail}
    return NetworkFacts(
        name=known.name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=network_multiply_adds(network, size),
        stride=_stride(known, network),
        auxiliary=known.auxiliary is not None,
        training_only=tuple(name for name, head in heads.items() if head),
        pretrained=known.pretrained is not None,
        published=published.miou if published else None,
        source=published.source if published else "",
        licence=published.licence if published else "",
        extra="train",
    )


def _stride(known: Architecture, network: nn.Module) -> int:
    """How many of the image's rows are one row of the decode head's logits."""
    features: list[Any] = []
    hook = network.get_submodule(known.tap).register_forward_hook(lambda module, inputs, maps: features.append(maps))
    device = next(network.parameters()).device
    with torch.no_grad(), torch.device(device), _FiguresOnCpu():
        network(torch.empty(1, 3, PROBE, PROBE))
        logits_BChw = known.head(NUM_CLASSES).eval()(features[0])
    hook.remove()
    return PROBE // int(logits_BChw.shape[2])


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
