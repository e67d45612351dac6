"""The networks by name, and what training may add beside each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import deeplabv3, deeplabv3plus, lraspp
from hardedge.models.own import own_network


@dataclass(frozen=True)
class Architecture:
    """A network, and the heads that a training may place on its features.

    `build(num_classes)` gives the network. `tap` names the sub-module whose output feeds the decode head;
    `head(channels)` gives a fresh decode head, `auxiliary(num_classes)` a fresh auxiliary head, both from the tap's
    output to logits at low resolution.
    """

    name: str
    build: Callable[[int], nn.Module]
    tap: str
    head: Callable[[int], nn.Module]
    auxiliary: Callable[[int], nn.Module] | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "lraspp_mobilenet_v3_large": Architecture(
        name="lraspp_mobilenet_v3_large",
        build=lraspp.network,
        tap="backbone",
        head=lraspp.head,
    ),
    "deeplabv3_resnet50": Architecture(
        name="deeplabv3_resnet50",
        build=deeplabv3.network,
        tap="backbone",
        head=deeplabv3.Head,
        auxiliary=deeplabv3.AuxiliaryHead,
    ),
    "deeplabv3plus_resnet18": Architecture(
        name="deeplabv3plus_resnet18",
        build=deeplabv3plus.network,
        tap="encoder",
        head=deeplabv3plus.head,
    ),
}


def architecture(name: str) -> Architecture | None:
    """The architecture of that name; None for a user's own `package.module:function`.

    Raises BadInput for an unknown name, with the nearest known one.
    """
    if ":" in name:
        return None
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = get_close_matches(name, ARCHITECTURES, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise BadInput(
        f'unknown network "{name}".{guess} Known: {", ".join(ARCHITECTURES)}, or package.module:function of your own.'
    )


def build_network(spec: NetworkSpec) -> nn.Module:
    """The network with random weights: normalised float images_BCHW to logits_BCHW at the image's size, from 32x32 up.

    Raises BadInput for an unknown name, and for a user's own function that cannot be imported or called or whose
    network does not keep to this.
    """
    known = architecture(spec.name)
    return known.build(spec.num_classes) if known else own_network(spec.name, spec.num_classes)
