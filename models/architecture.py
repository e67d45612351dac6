"""What the package knows of a network."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Auxiliary:
    """A head that training alone has.

    `head(channels)` gives a fresh one, from the output of the sub-module `tap` to logits at low resolution; that of
    further segmentations gives a tuple of them.
    """

    tap: str
    head: Callable[[int], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """A network, and the heads that a training may place on its features.

    `build(num_classes)` gives the network. `tap` names the sub-module whose output feeds the decode head.
    `head(channels)` gives a fresh decode head, from the tap's output to logits at low resolution. `auxiliary`,
    `boundary` and `detail` are the heads that the published training has beside it: of further segmentations, of
    boundaries, and of fine detail.

    Pretrained weights are for the sub-module `backbone` ("": the whole network), or for the tap where that is None,
    without what starts with the names in `fresh`. `pretrained()` downloads ImageNet's.
    """

    name: str
    build: Callable[[int], nn.Module]
    tap: str
    head: Callable[[int], nn.Module]
    auxiliary: Auxiliary | None = None
    boundary: Auxiliary | None = None
    detail: Auxiliary | None = None
    backbone: str | None = None
    fresh: tuple[str, ...] = ()
    pretrained: Callable[[], dict[str, Tensor]] | None = None
