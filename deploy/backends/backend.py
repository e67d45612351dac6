"""A runtime as the rest of deploy sees it: one line of the table in targets.py."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from hardedge.contracts import Engine, Profile
from hardedge.deploy.backends.request import BuildRequest, BuiltPlan, Target
from hardedge.deploy.runner import Runner

Device = str | None


class Compile(Protocol):
    """Compiles an ONNX file of a precision for targets of one backend into a folder.

    Raises BuildRefused where the runtime does not take the network, Unavailable where it is not installed or finds no
    device that it needs.
    """

    def __call__(
        self,
        onnx: Path,
        precision: str,
        targets: Sequence[Target],
        profiles: Sequence[Profile],
        folder: Path,
        request: BuildRequest,
    ) -> dict[Target, BuiltPlan]: ...


class OpenEngine(Protocol):
    """Loads an engine directory whose manifest and digests were checked; raises Unavailable where it cannot run."""

    def __call__(self, engine: Path, manifest: Engine) -> Runner: ...


class OpenModel(Protocol):
    """Loads an FP32 ONNX file on a device, for these sizes; `threads` compute on a CPU, 0: as many as it has cores."""

    def __call__(self, onnx: Path, device: str, profiles: Sequence[Profile], threads: int = 0) -> Runner: ...


def _holds_all(device: Device, precision: str) -> str | None:
    return None


def _none() -> Sequence[Device]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A runtime: its name, its devices as in a target's name, and what it does; heavy modules are imported when called.

    `builder` is what its engines' manifests say built them. `modules` are what it imports, by the pip command that adds
    them. `open_model` is None where an engine is a plan of its own; elsewhere an engine is the ONNX file itself.
    `cannot_hold` says why a precision is not for a device, None where it is, or where only the builder knows.
    `builds_here` are the devices that `hardedge run` builds for, `runs_here` those that `hardedge verify` builds for by
    itself. `unconcerned` are the doctor's topics that an engine of a device runs without. `triton` is the platform that
    serves its engines; empty where none does.
    """

    name: str
    devices: tuple[Device, ...]
    builder: str
    modules: Mapping[str, str]
    compile: Compile
    open: OpenEngine
    open_model: OpenModel | None = None
    cannot_hold: Callable[[Device, str], str | None] = _holds_all
    builds_here: Callable[[], Sequence[Device]] = _none
    runs_here: Callable[[], Sequence[Device]] = _none
    takes_options: bool = False
    builds_differ: bool = False
    unconcerned: Mapping[Device, Collection[str]] = field(default_factory=dict)
    triton: Literal["", "onnxruntime_onnx", "tensorrt_plan"] = ""

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(Target(self.name, device) for device in self.devices)
