"""The builder process as its parent sees it: its progress while it runs, and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Tell = Callable[[str], None]  # shows what a build is at

PROGRESS: Final = '{"progress": '  # how a line of the builder's begins that tells its progress
LACKING: Final = "this device lacks "  # how the builder's last words begin where the device has not what was asked
# what builders write where memory, of the host or of the GPU, is short
_MEMORY: Final = (
    *("MemoryError", "OutOfMemory", "out of memory", "bad_alloc", "could not be allocated"),
    *("Cannot allocate memory", "failed to map segment"),
)
_KILLED: Final = -9  # as the kernel does where memory is short


@dataclass(frozen=True)
class Ended:
    """How a builder process ended: its exit status (negative: a signal's number), and what it printed."""

    status: int
    output: str
    errors: str

    @property
    def out_of_memory(self) -> bool:
        """Whether it, or the kernel, ended it for want of memory."""
        return self.status == _KILLED or any(sign in self.output + self.errors for sign in _MEMORY)


def run_builder(job: Mapping[str, object], tell: Tell | None) -> Ended:
    """Runs the builder on a job (see build_process), in the job's folder, to its end; it ends with this process.

    Also with one that is killed, or interrupted while it starts the builder: that ends once no one has its stdin open.
    """
    rtx = job["builder"] == "tensorrt_rtx"
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "hardedge.deploy.tensorrt.build_process", json.dumps(job)],
            env={**os.environ, "POLYGRAPHY_USE_TENSORRT_RTX": "1" if rtx else "0"},
            # not the user's directory, which Python would put first on the child's import path
            cwd=Path(str(job["folder"])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        )
        try:
            output = _read(process, tell)
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdin is not None
            process.stdin.close()
        errors.seek(0)
        return Ended(status, output, errors.read())


def _read(process: subprocess.Popen[str], tell: Tell | None) -> str:
    assert process.stdout is not None
    lines = []
    with process.stdout:
        for line in process.stdout:
            if not line.startswith(PROGRESS):
                lines.append(line)
            elif tell:
                device, share = json.loads(line)["progress"]
                tell(f"building for {device}: {share:.0%}")
    return "".join(lines)


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
