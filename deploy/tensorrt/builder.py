"""The builder process as its parent sees it: its progress while it runs, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hardedge.child_process import ChildResult, run_child
from hardedge.deploy.backends.request import Tell

PROGRESS: Final = '{"progress": '  # how a line of the builder's begins that tells its progress
LACKING: Final = "this device lacks "  # how the builder's last words begin where the device has not what was asked
# what builders write where memory, of the host or of the GPU, is short
_MEMORY: Final = (
    *("MemoryError", "OutOfMemory", "out of memory", "bad_alloc", "could not be allocated"),
    *("Cannot allocate memory", "failed to map segment"),
)
_KILLED: Final = -9  # as the kernel does where memory is short


def run_builder(job: Mapping[str, object], tell: Tell | None) -> ChildResult:
    """Runs the builder on a job (see build_process), in the job's folder, to its end."""

    def read_progress(line: str) -> bool:
        if line.startswith(PROGRESS) and tell:
            device, share = json.loads(line)["progress"]
            tell(f"building for {device}: {share:.0%}")
        return line.startswith(PROGRESS)

    return run_child(
        "hardedge.deploy.tensorrt.build_process",
        json.dumps(job),
        environment={"POLYGRAPHY_USE_TENSORRT_RTX": "1" if job["builder"] == "tensorrt_rtx" else "0"},
        folder=Path(str(job["folder"])),
        read_line=read_progress,
    )


def out_of_memory(done: ChildResult) -> bool:
    """Whether a builder, or the kernel, ended it for want of memory."""
    return done.status == _KILLED or any(sign in done.output + done.errors for sign in _MEMORY)


class Shares:
    """The share of a build that is done, 0..1, from the phases that TensorRT starts inside each other."""

    def __init__(self) -> None:
        self.phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, steps done
        self.told = 0.0

    def started(self, phase: str, parent: str | None, steps: int) -> None:
        self.phases[phase] = (parent or None, max(steps, 1), 0)

    def finished(self, phase: str) -> None:
        self.phases.pop(phase, None)

    def stepped(self, phase: str, step: int) -> float | None:
        """The share after this step, where it is a percent more than was told before; else None."""
        if phase not in self.phases:
            return None
        parent, steps, _ = self.phases[phase]
        self.phases[phase] = (parent, steps, step + 1)
        share = min((step + 1) / steps, 1.0)
        while parent in self.phases:
            above, steps, done = self.phases[parent]
            share, parent = min((done + share) / steps, 1.0), above
        if parent is not None or share < self.told + 0.01:
            return None
        self.told = share
        return share
