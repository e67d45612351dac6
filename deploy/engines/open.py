"""Running an engine: images in, masks out, whatever made it."""

import hashlib
from pathlib import Path

from hardedge.contracts import Engine, load
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.deploy.runner import Runner
from hardedge.deploy.targets import parse_target
from hardedge.deploy.tensorrt.api import (
    MODULES,
)
from hardedge.deploy.tensorrt.runner import TensorRTRunner, _require_same_device, _require_same_version
from hardedge.errors import BadInput


def open_runner(engine: Path, trust: Trust | None = None) -> Runner:
    """Loads an engine directory after its manifest and digests were checked (a plan is native code).

    With `trust`, only when a trusted manifest has its digest. Raises BadInput for an altered or untrusted directory,
    MissingHere when this machine cannot run the engine.
    """
    manifest = load(Engine, engine)
    if trust:
        trust.require_engine(engine, manifest)
    if manifest.plan not in manifest.files:
        raise BadInput(f"{engine / Engine.FILE}, plan: {manifest.plan} is not among its files. Build the engine again.")
    target = parse_target(manifest.target)
    plan = engine / manifest.plan
    if target.backend == "onnxruntime":
        check_model(plan)
        return OnnxRuntimeRunner(plan, target.device or "cpu", manifest.profiles)
    _require_same_device(manifest, target.device)
    _require_same_version(manifest, MODULES[target.backend])
    weights = _weights(engine, manifest)
    rtx = target.backend == "tensorrt-rtx"
    return TensorRTRunner(str(plan), _read_vouched(engine, manifest.plan, manifest), rtx, manifest.options, weights)


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
