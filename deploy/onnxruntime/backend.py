"""onnxruntime's line of the table: an engine is the ONNX file itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hardedge.contracts import Engine, Profile
from hardedge.deploy.backends.backend import Backend, Device
from hardedge.deploy.backends.request import BuildRequest, BuiltPlan, Target
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.runner import Runner

_TENSORRT: Final = ("tensorrt", "tensorrt-rtx", "cuda-python", "compute capability")


def compile_nothing(
    onnx: Path,
    precision: str,
    targets: Sequence[Target],
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest,
) -> dict[Target, BuiltPlan]:
    """The file as it is: onnxruntime compiles it when it is opened."""
    from hardedge.deploy.onnxruntime.session import onnxruntime_version

    return {target: BuiltPlan(onnx, "onnxruntime", onnxruntime_version(), 0.0) for target in targets}


def open_engine(engine: Path, manifest: Engine) -> Runner:
    """The engine's file on the device of its target."""
    onnx = engine / manifest.plan
    check_model(onnx)
    return open_model(onnx, manifest.target.partition(":")[2] or "cpu", manifest.profiles)


def open_model(onnx: Path, device: str, profiles: Sequence[Profile], threads: int = 0) -> Runner:
    """An ONNX file on a device."""
    from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner

    return OnnxRuntimeRunner(onnx, device, profiles, threads)


def cannot_hold(device: Device, precision: str) -> str | None:
    return "onnxruntime has no BF16 convolutions" if precision == "bf16" else None


ONNXRUNTIME: Final = Backend(
    name="onnxruntime",
    devices=("cpu", "cuda", "tensorrt"),
    builder="onnxruntime",
    modules={"onnxruntime": "hardedge"},
    compile=compile_nothing,
    open=open_engine,
    open_model=open_model,
    cannot_hold=cannot_hold,
    builds_here=lambda: ("cpu",),
    runs_here=lambda: ("cpu",),
    unconcerned={
        "cpu": ("gpu", "driver", "jetpack", "cuda", "openvino", *_TENSORRT),
        "cuda": ("openvino", *_TENSORRT),
        "tensorrt": ("tensorrt-rtx", "cuda-python", "openvino"),
    },
    triton="onnxruntime_onnx",
)
