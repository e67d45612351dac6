"""What building writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from hardedge.contracts.base import Amount, Contract, Count, Manifest
from hardedge.contracts.sizes import Profile, _require_profiles
from hardedge.names import require_path

# where the file that runs comes from: the bundle's own file, a build of the same command, or whoever signed it
Origin: TypeAlias = Literal["bundle file", "bundle file, nodes in FP32", "built here", "signed", "unknown"]


@dataclass(frozen=True, kw_only=True)
class BuildOptions(Contract):
    """What a TensorRT builder is told beside the network; None leaves its default.

    Optimisation level 0 to 5, workspace in MiB. `version_compatible` engines run on later versions of the same major,
    `hardware_compatible` ones on every GPU from Ampere on; both are slower. `strip_weights` leaves the weights out of
    the plan: they are read from the ONNX file when it is loaded. `dla` is the DLA core that the network runs on, layer
    by layer on the GPU where it cannot.
    """

    optimization_level: Count | None = None
    workspace: Count | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    strip_weights: bool = False
    dla: Count | None = None


@dataclass(frozen=True, kw_only=True)
class FallbackNode(Contract):
    """A node of the bundle's file that the engine computes in FP32.

    The builder refused it as it was, or its values did not fit its type and came out infinite or NaN (`not finite`).
    """

    node: str
    operator: str
    precision: str
    why: str
    cause: Literal["refused", "not finite"] = "refused"


@dataclass(frozen=True, kw_only=True)
class Engine(Manifest):
    """A compiled network for one target; `weights` is the ONNX file that a plan without weights is refitted from.

    `executed` counts its convolutions and matrix products by the precision that the runtime said, when it was built,
    that it executes them in; empty where the runtime does not say.
    """

    FILE: ClassVar[str] = "engine.json"
    SCHEMA: ClassVar[str] = "hardedge.engine/2"
    MADE_BY: ClassVar[str] = "hardedge deploy"

    target: str
    precision: str
    plan: str
    onnx_digest: str
    builder: str
    builder_version: str
    profiles: tuple[Profile, ...]
    seconds: Amount
    options: BuildOptions = BuildOptions()
    healed: tuple[FallbackNode, ...] = ()
    weights: str | None = None
    executed: dict[str, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_profiles(self.profiles)
        require_path("plan", self.plan)
        if self.weights is not None:
            require_path("weights", self.weights)
