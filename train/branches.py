"""Parts that only training needs, kept beside the network and never in it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import Architecture, architecture
from hardedge.train.branch_heads import LightHead, OneMap, SideHead

# what a sub-module may give: a map, or maps by position or by name
Features = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
# of maps by their key there (None: it gives one map): channels, and height for an image of PROBE
Shapes = dict[int | str | None, tuple[int, int]]


@dataclass(frozen=True)
class HardnessBranch:
    """A branch that tells how hard each pixel is, from detached features.

    `faithful` is a second decode head with one channel, as published; `light` 1x1 convolutions on two of the tapped
    maps. `tap` names the sub-module whose output it reads; None is the one that feeds the network's decode head.
    """

    kind: Literal["light", "faithful"] = "light"
    tap: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("light", "faithful"):
            raise ValueError(f"kind is {self.kind}, expected light or faithful")


@dataclass(frozen=True)
class BoundaryBranch:
    """A head that looks for the boundaries between classes, as PIDNet's D head; one map of logits.

    It reads where the network's published training has it, elsewhere the finest map from stride 4 on; `tap` names
    another sub-module. The network learns from it.
    """

    kind: Literal["boundary_head"] = "boundary_head"
    tap: str | None = None


@dataclass(frozen=True)
class DetailBranch:
    """A head that looks for fine detail, as STDC's detail head; one map of logits. Reads and taps as BoundaryBranch."""

    kind: Literal["detail_head"] = "detail_head"
    tap: str | None = None


@dataclass(frozen=True)
class AuxiliaryBranch:
    """The network's auxiliary heads: further segmentations that deepen the gradient.

    Their output is a tuple of logits, one for each. Where the network has such logits of its own, as OCR its soft
    regions, they are what comes out.
    """


@dataclass(frozen=True)
class FeatureBranch:
    """No head at all: the deepest map that feeds the network's decode head, for losses that compare features."""


# what a recipe may name
NamedBranch = HardnessBranch | BoundaryBranch | DetailBranch
BranchConfig = NamedBranch | AuxiliaryBranch | FeatureBranch


class Branch(nn.Module):
    """A head on the output of the sub-module `tap`, to logits at low resolution; a tuple of them from auxiliary heads.

    `detach` keeps its gradient from the network.
    """

    def __init__(self, head: nn.Module, tap: str, *, detach: bool) -> None:
        super().__init__()
        self.head = head
        self.tap = tap
        self.detach = detach

    def forward(self, features: Features) -> Tensor | tuple[Tensor, ...]:
        logits: Tensor | tuple[Tensor, ...] = self.head(_detach(features) if self.detach else features)
        return logits


class Training(nn.Module):
    """The plain network `model` and the `branches` by the name of their output.

    Its forward gives {"logits": ..., and each branch's output by name, at low resolution}. Hooks are on the tapped
    sub-modules during that forward only: `model` can be copied, saved and exported at any time as if there were no
    branch.
    """

    def __init__(self, model: nn.Module, branches: Mapping[str, Branch]) -> None:
        super().__init__()
        self.model = model
        self.branches = nn.ModuleDict(branches)
        self.taps = {name: branch.tap for name, branch in branches.items()}

    def forward(self, images_BCHW: Tensor) -> dict[str, Any]:
        with tap_outputs(self.model, set(self.taps.values())) as features:
            outputs = {"logits": self.model(images_BCHW)}
        return outputs | {name: branch(features[self.taps[name]]) for name, branch in self.branches.items()}


@contextmanager
def tap_outputs(model: nn.Module, taps: set[str]) -> Iterator[dict[str, Any]]:
    """The outputs of the named sub-modules, filled in by the forward that runs inside the block."""
    outputs: dict[str, Any] = {}
    with ExitStack() as hooks:
        for tap in taps:
            hooks.enter_context(model.get_submodule(tap).register_forward_hook(partial(_keep, outputs, tap)))
        yield outputs


def _keep(outputs: dict[str, Any], tap: str, module: nn.Module, inputs: Any, output: Any) -> None:
    outputs[tap] = output


def _detach(features: Any) -> Any:
    if isinstance(features, Mapping):
        return {key: _detach(value) for key, value in features.items()}
    if isinstance(features, list | tuple):
        return [_detach(value) for value in features]
    return features.detach() if isinstance(features, Tensor) else features


def attach_branches(network: nn.Module, spec: NetworkSpec, branches: Sequence[BranchConfig]) -> Training:
    """The network with fresh branches beside it, by the names of BRANCH_NAMES, on the network's device.

    Raises BadInput when a branch taps what the network does not have or asks for a head that it has none of, and when
    there are two of a kind.
    """
    known = architecture(spec.name)
    made: dict[str, Branch] = {}
    for config in branches:
        name = BRANCH_NAMES[type(config)]
        if name in made:
            raise BadInput(f"two {name} branches. Leave one in the recipe.")
        if isinstance(config, FeatureBranch):
            made[name] = _features(known, spec, network)
        elif isinstance(config, AuxiliaryBranch):
            made[name] = _auxiliary(known, spec)
        elif isinstance(config, BoundaryBranch | DetailBranch):
            made[name] = _side(known, spec, config, network)
        elif config.kind == "faithful":
            made[name] = _faithful(known, spec, config.tap, network)
        else:
            made[name] = _light(known, spec, config, network)
    device = next(network.parameters()).device
    return Training(network, made).to(device)


BRANCH_NAMES: dict[type, str] = {
    HardnessBranch: "hardness",
    BoundaryBranch: "boundary",
    DetailBranch: "detail",
    AuxiliaryBranch: "auxiliary",
    FeatureBranch: "features",
}


def branch_word(branch: NamedBranch) -> str:
    """What a checkpoint's manifest calls the branch."""
    return f"hardness-{branch.kind}" if isinstance(branch, HardnessBranch) else branch.kind


def _features(known: Architecture | None, spec: NetworkSpec, network: nn.Module) -> Branch:
    if known is None:
        raise BadInput(f"which features of {spec.name} to read is not known. Leave the loss on features out.")
    deepest = list(_map_shapes(network, known.tap))[-1]
    return Branch(OneMap(deepest), known.tap, detach=True)


def _auxiliary(known: Architecture | None, spec: NetworkSpec) -> Branch:
    if known is None or known.auxiliary is None:
        raise BadInput(f"{spec.name} has no auxiliary head. Take the auxiliary branch out of the recipe.")
    return Branch(known.auxiliary.head(spec.num_classes), known.auxiliary.tap, detach=False)


def _faithful(known: Architecture | None, spec: NetworkSpec, tap: str | None, network: nn.Module) -> Branch:
    if known is None:
        raise BadInput(
            f"branch hardness: the faithful kind is a second decode head, and which part of {spec.name} that is, is "
            f'not known. Use the light one with a tap, HardnessBranch("light", tap=...), on one of: {_names(network)}.'
        )
    if tap not in (None, known.tap):
        raise BadInput(f'branch hardness: the faithful kind taps "{known.tap}", not "{tap}". Leave the tap out.')
    return Branch(known.head(1), known.tap, detach=True)


def _side(
    known: Architecture | None, spec: NetworkSpec, config: BoundaryBranch | DetailBranch, network: nn.Module
) -> Branch:
    """The published head where the network has one and no other place is named; else one on the finest map there."""
    published = known and (known.boundary if isinstance(config, BoundaryBranch) else known.detail)
    if published and config.tap in (None, published.tap):
        return Branch(published.head(1), published.tap, detach=False)
    place, shapes = _tapped_maps(known, spec, config, network)
    finest = _finest_and_deepest(shapes)[0]
    return Branch(SideHead(finest, shapes[finest][0]), place, detach=False)


def _light(known: Architecture | None, spec: NetworkSpec, config: HardnessBranch, network: nn.Module) -> Branch:
    place, shapes = _tapped_maps(known, spec, config, network)
    chosen = _finest_and_deepest(shapes)
    head = LightHead(chosen, [shapes[key][0] for key in chosen])
    return Branch(head, place, detach=True)


def _tapped_maps(
    known: Architecture | None, spec: NetworkSpec, config: NamedBranch, network: nn.Module
) -> tuple[str, Shapes]:
    """The sub-module that the branch taps, and the shapes of the maps that it gives."""
    name, tap = BRANCH_NAMES[type(config)], config.tap
    if tap is None and known is None:
        kind = type(config).__name__ + (f'("{config.kind}", ' if isinstance(config, HardnessBranch) else "(")
        raise BadInput(
            f"branch {name}: which features of {spec.name} to read is not known. "
            f"Name a tap, {kind}tap=...), one of: {_names(network)}."
        )
    place = tap if tap is not None else known.tap  # type: ignore[union-attr]  # one of the two is there
    if place not in dict(network.named_modules()) or not place:
        raise BadInput(f'branch {name} taps "{place}", which {spec.name} does not have. It has: {_names(network)}.')
    shapes = _map_shapes(network, place)
    if not shapes:
        raise BadInput(f'branch {name} taps "{place}", which gives no map [B, C, h, w] in {spec.name}\'s forward.')
    return place, shapes


def _names(network: nn.Module) -> str:
    return ", ".join(name for name, _ in network.named_children())


PROBE = 128


@torch.no_grad()
def _map_shapes(network: nn.Module, tap: str) -> Shapes:
    """Channels and height of each map that the tap gives for an image of PROBE x PROBE; the network stays as it is."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()  # batch statistics must not see the probe
    try:
        with tap_outputs(network, {tap}) as outputs:
            network(torch.zeros(1, 3, PROBE, PROBE, device=next(network.parameters()).device))
    finally:
        for module, mode in modes:
            module.training = mode
    found = outputs.get(tap)
    named: dict[Any, Any] = dict(found) if isinstance(found, Mapping) else {None: found}
    if isinstance(found, list | tuple):
        named = dict(enumerate(found))
    maps = {key: value for key, value in named.items() if isinstance(value, Tensor) and value.dim() == 4}
    return {key: (value.shape[1], value.shape[2]) for key, value in maps.items()}


def _finest_and_deepest(shapes: Shapes) -> list[int | str | None]:
    keys = list(shapes)
    finest = next((key for key in keys if shapes[key][1] * 4 <= PROBE), keys[-1])
    return list(dict.fromkeys((finest, keys[-1])))
