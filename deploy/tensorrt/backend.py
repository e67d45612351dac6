"""TensorRT's two lines of the table: plans for the GPU that is here, and ahead of time for named architectures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hardedge.contracts import Engine, Profile
from hardedge.deploy.backends.backend import Backend, Device
from hardedge.deploy.backends.request import BuildRequest, BuiltPlan, Target
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.machine import compute_capability
from hardedge.deploy.runner import Runner
from hardedge.errors import BadInput
from hardedge.precisions import precision_named

RTX_CAPABILITIES: Final = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")


def compile_all(
    onnx: Path,
    precision: str,
    targets: Sequence[Target],
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest,
) -> dict[Target, BuiltPlan]:
    """One plan a target; the ONNX file is strongly typed, so its precision is in it."""
    from hardedge.deploy.tensorrt.plans import compile_plans

    return compile_plans(targets[0].backend, onnx, targets, profiles, folder, request)


def open_engine(engine: Path, manifest: Engine, *, builder: str) -> Runner:
    """The plan on this machine's GPU; raises BadInput for a manifest that does not fit it."""
    from hardedge.deploy.tensorrt.runner import TensorRTRunner, _require_same_device, _require_same_version
    from hardedge.deploy.tensorrt.runtime_cache import keep, read_kept

    _require_same_device(manifest, manifest.target.partition(":")[2] or None)
    _require_same_version(manifest, builder)
    weights = _weights(engine, manifest)
    content = _read_vouched(engine, manifest.plan, manifest)
    rtx = builder == "tensorrt_rtx"
    kept = read_kept(engine, manifest) if rtx else None
    name, options = str(engine / manifest.plan), manifest.options
    return TensorRTRunner(name, content, rtx, options, weights, kept, partial(keep, engine, manifest) if rtx else None)


def _weights(engine: Path, manifest: Engine) -> bytes | None:
    """The ONNX file of a plan without weights; None where the plan has its own."""
    if manifest.options.strip_weights != (manifest.weights is not None):
        raise BadInput(f"{engine / Engine.FILE}: weights and options do not fit each other. Build the engine again.")
    if manifest.weights is None:
        return None
    if manifest.weights not in manifest.files:
        raise BadInput(
            f"{engine / Engine.FILE}, weights: {manifest.weights} is not among its files. Build the engine again."
        )
    check_model(engine / manifest.weights)
    return _read_vouched(engine, manifest.weights, manifest)


def _read_vouched(engine: Path, name: str, manifest: Engine) -> bytes:
    # hashed once more in memory: the file may have been replaced since the manifest was checked
    content = (engine / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise BadInput(f"{engine / name} changed while it was read. Copy or build the engine again.")
    return content


def cannot_hold(device: Device, precision: str) -> str | None:
    """An architecture without arithmetic of that type; of the GPU that is here only the builder knows."""
    first = precision_named(precision).first_architecture
    if device and int(device.removeprefix("sm")) < first:
        return f"{precision.upper()} needs SM{first} or later"
    return None


def _here() -> Sequence[Device]:
    return (None,) if find_spec("tensorrt") is not None else ()


TENSORRT: Final = Backend(
    name="tensorrt",
    devices=(None,),
    builder="tensorrt",
    modules={"tensorrt": "'hardedge[tensorrt]'"},
    compile=compile_all,
    open=partial(open_engine, builder="tensorrt"),
    builds_here=_here,
    runs_here=lambda: _here() if compute_capability() else (),
    takes_options=True,
    builds_differ=True,
    unconcerned={None: ("tensorrt-rtx", "openvino")},
    triton="tensorrt_plan",
)
TENSORRT_RTX: Final = Backend(
    name="tensorrt-rtx",
    devices=RTX_CAPABILITIES,
    builder="tensorrt_rtx",
    modules={"tensorrt_rtx": "tensorrt_rtx"},
    compile=compile_all,
    open=partial(open_engine, builder="tensorrt_rtx"),
    cannot_hold=cannot_hold,
    builds_here=lambda: RTX_CAPABILITIES if find_spec("tensorrt_rtx") else (),
    takes_options=True,
    unconcerned=dict.fromkeys(RTX_CAPABILITIES, ("tensorrt", "openvino")),
)
