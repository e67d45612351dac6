"""What is to be compiled and how, and what comes of it, whatever the runtime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hardedge.contracts import BuildOptions, FallbackNode
from hardedge.deploy.backends.build_cache import BuildCache
from hardedge.errors import BadInput

MOST_TOLD = 240  # characters of a reason: some list a layer's weights

Tell = Callable[[str], None]  # shows what a build is at


@dataclass(frozen=True)
class Target:
    """A runtime and its device, None where it has one kind of device."""

    backend: str
    device: str | None = None

    def __str__(self) -> str:
        return f"{self.backend}:{self.device}" if self.device else self.backend


@dataclass(frozen=True)
class BuildRequest:
    """How plans are to be built: the options, where builds are kept (None: nowhere), and which of several builds.

    `heal` allows nodes in FP32 where the builder refuses them in less; `tell` shows what a build is at.
    """

    options: BuildOptions = field(default_factory=BuildOptions)
    cache: BuildCache | None = None
    build: int = 0
    heal: bool = True
    tell: Tell | None = None


@dataclass(frozen=True)
class BuiltPlan:
    """A compiled network on disk: its builder, the builder's version, the seconds it took, and nodes left in FP32.

    `onnx` is the file that it was made from, where that is not the one that was given. `executed` counts its layers by
    the precision that the runtime says it computes them in, where it says that.
    """

    path: Path
    builder: str
    builder_version: str
    seconds: float
    healed: tuple[FallbackNode, ...] = ()
    onnx: Path | None = None
    executed: dict[str, int] = field(default_factory=dict)


class BuildRefused(BadInput):
    """A builder's refusal of a network; `reason` is the line of its words that says most."""

    def __init__(self, message: str, errors: Sequence[str]) -> None:
        super().__init__(message)
        telling = [line for line in errors if "Invalid Engine" not in line and "Could not parse" not in line]
        # its errors go from the outer to the inner
        reason = (telling or list(errors) or [message])[-1]
        self.reason = reason if len(reason) <= MOST_TOLD else reason[: MOST_TOLD - 3] + "..."
