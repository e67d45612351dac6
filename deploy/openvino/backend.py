"""OpenVINO's line of the table: an engine is the ONNX file itself, with what OpenVINO says it executes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hardedge.contracts import Engine, Profile
from hardedge.deploy.backends.backend import Backend, Device
from hardedge.deploy.backends.request import BuildRequest, BuiltPlan, Target
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.runner import Runner
from hardedge.precisions import precision_named

_NVIDIA: Final = ("gpu", "driver", "jetpack", "cuda", "tensorrt", "tensorrt-rtx", "cuda-python", "compute capability")
# OpenVINO's names of what a device must be able to do
_CAPABILITIES: Final = {"fp32": "FP32", "fp16": "FP16", "bf16": "BF16", "int8": "INT8"}


def compile_once(
    onnx: Path,
    precision: str,
    targets: Sequence[Target],
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest,
) -> dict[Target, BuiltPlan]:
    """The file as it is, compiled once to see that it does and in which precisions: loading compiles it again."""
    from hardedge.deploy.openvino.model import compile_model, executed_precisions, layers_of, openvino_module

    plans = {}
    for target in targets:
        began = time.perf_counter()
        executed = executed_precisions(layers_of(compile_model(onnx, str(target.device), precision)))
        version = openvino_module().__version__.split("-")[0]
        plans[target] = BuiltPlan(onnx, "openvino", version, time.perf_counter() - began, executed=executed)
    return plans


def open_engine(engine: Path, manifest: Engine) -> Runner:
    """The engine's file on the device of its target."""
    from hardedge.deploy.openvino.runner import OpenVinoRunner

    check_model(engine / manifest.plan)
    return OpenVinoRunner(engine / manifest.plan, manifest.target.partition(":")[2], manifest.precision)


def open_model(onnx: Path, device: str, profiles: Sequence[Profile], threads: int = 0) -> Runner:
    """An FP32 file on a device."""
    from hardedge.deploy.openvino.runner import OpenVinoRunner

    return OpenVinoRunner(onnx, device, "fp32", threads)


def cannot_hold(device: Device, precision: str) -> str | None:
    """A device that is here says what it computes in; another precision would be computed in one of these."""
    from hardedge.deploy.openvino.model import capabilities

    needed = _CAPABILITIES.get(precision_named(precision).counted_as)
    if needed is None:
        return f"OpenVINO has no arithmetic in {precision.upper()}"
    if device not in _here() or needed in capabilities(str(device)):
        return None
    return f"OpenVINO has no {precision.upper()} on this {device}, and would compute in another precision"


def _here() -> Sequence[Device]:
    from hardedge.deploy.openvino.model import find_devices

    return find_devices()


OPENVINO: Final = Backend(
    name="openvino",
    devices=("cpu", "gpu", "npu"),
    builder="openvino",
    modules={"openvino": "'hardedge[openvino]'"},
    compile=compile_once,
    open=open_engine,
    open_model=open_model,
    cannot_hold=cannot_hold,
    builds_here=lambda: ("cpu",) if find_spec("openvino") else (),
    runs_here=_here,
    unconcerned=dict.fromkeys(("cpu", "gpu", "npu"), _NVIDIA),
)
