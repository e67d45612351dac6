"""Plans: what the builder process made of an ONNX file, or its errors as one message."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hardedge.contracts import Profile
from hardedge.deploy.targets import Target
from hardedge.deploy.tensorrt_api import MODULES
from hardedge.errors import BadInput, HardedgeError, MissingHere, missing_extra

_ERROR_LINE = re.compile(r"\[[E!]\] (.+)")
# printed by TensorRT-RTX on every machine without a driver, where building works all the same
_HARMLESS = "CUDA driver version is insufficient"


@dataclass(frozen=True)
class Plan:
    """A compiled network on disk: its builder, the builder's version, and the seconds it took."""

    path: Path
    builder: str
    builder_version: str
    seconds: float


def compile_plans(
    backend: str, onnx: Path, targets: Sequence[Target], profile: Profile, folder: Path
) -> dict[Target, Plan]:
    """Compiles an ONNX file for targets of one backend into `folder`, in one builder process.

    Raises BadInput with the builder's errors when it refuses the network, MissingHere when it is not installed or
    finds no GPU where it needs one.
    """
    builder = MODULES[backend]
    _require_builder(builder)
    devices = {target: target.device or "here" for target in targets}
    job = {
        "builder": builder,
        "onnx": str(onnx.resolve()),
        "devices": list(devices.values()),
        "folder": str(folder),
        "profile": {"min": profile.min, "opt": profile.opt, "max": profile.max},
    }
    done = subprocess.run(
        [sys.executable, "-m", "hardedge.deploy.build_process", json.dumps(job)],
        env={**os.environ, "POLYGRAPHY_USE_TENSORRT_RTX": "1" if backend == "tensorrt-rtx" else "0"},
        # not the user's directory, which Python would put first on the child's import path
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise _refusal(builder, onnx, done)
    made = json.loads(done.stdout.splitlines()[-1])
    return {
        target: Plan(folder / f"{device}.plan", builder, made["version"], made["seconds"][device])
        for target, device in devices.items()
    }


def _require_builder(builder: str) -> None:
    if importlib.util.find_spec(builder):
        return
    if builder == "tensorrt_rtx":
        raise missing_extra("tensorrt_rtx", "export")
    raise MissingHere(
        "tensorrt is not installed. Add it with: pip install 'hardedge[tensorrt]' (its libraries come from NVIDIA's "
        "own index, and it builds only on the GPU that the engine is for). Without a GPU: --target tensorrt-rtx:sm86"
    )


def _refusal(builder: str, onnx: Path, done: subprocess.CompletedProcess[str]) -> HardedgeError:
    errors = builder_errors(done.stdout + done.stderr)
    if done.returncode < 0:
        errors.append(f"the builder was ended by signal {-done.returncode}")
    reasons = "\n".join(f"  {line}" for line in errors)
    if builder == "tensorrt" and any("CUDA" in line for line in errors):
        return MissingHere(
            f"{builder} cannot build here:\n{reasons}\n"
            "Run it on the machine that has the GPU, or build ahead of time with --target tensorrt-rtx:sm86."
        )
    return BadInput(
        f"{builder} refused {onnx}:\n{reasons}\n"
        "Change what the network does there and export it again, or leave this target out."
    )


def builder_errors(output: str) -> list[str]:
    """The error lines of a builder's output, each once; where there is none, its last line."""
    return error_lines("\n".join(line for line in output.splitlines() if _HARMLESS not in line))


def error_lines(output: str) -> list[str]:
    """What Polygraphy printed as errors, each line once; where there is none, the last line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    errors = [match[1] for line in lines if (match := _ERROR_LINE.search(line)) and "--- " not in match[1]]
    return list(dict.fromkeys(errors)) or lines[-1:]
