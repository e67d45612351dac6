"""Where an engine comes from: whether the file that runs is the one whose identity the certificate states."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hardedge.contracts import Engine
from hardedge.contracts.engine import Origin
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.targets import backend_of
from hardedge.errors import BadInput
from hardedge.graphs.pinning import pin_to_fp32


def origin_of(bundle: OpenBundle, directory: Path, engine: Engine, built: Collection[str]) -> Origin:
    """Where the engine in `directory`, loaded as `engine` and made from the bundle, comes from.

    `built` are digests of manifests that this command wrote when it built them. A runtime that runs ONNX files runs the
    bundle's own, whatever the manifest says built it; a plan's bytes show nobody what it was built from, so that it
    needs a builder who is trusted: this command, or who signed it. Raises BadInput for a file of another network.
    """
    backend = backend_of(engine.target)
    if engine.builder != backend.builder:
        raise BadInput(
            f"{directory / Engine.FILE}, builder: {engine.builder[:40]!r}, but {engine.target} is built by "
            f"{backend.builder}. Build the engine again."
        )
    if backend.open_model:
        return _session_origin(bundle, directory, engine)
    if engine.digest in built:
        return "built here"
    return "signed" if bundle.trust else "unknown"


def _session_origin(bundle: OpenBundle, directory: Path, engine: Engine) -> Origin:
    name = bundle.manifest.model(engine.precision).path
    if engine.files.get(engine.plan) == bundle.manifest.files.get(name):
        return "bundle file"
    if engine.healed:
        from hardedge.graphs.canonical import onnx_digest

        expected = pin_to_fp32(read_model(bundle.directory / name), {each.node for each in engine.healed})
        if onnx_digest(read_model(directory / engine.plan)) == onnx_digest(expected):
            return "bundle file, nodes in FP32"
    raise BadInput(f"{directory / engine.plan} is not the bundle's ONNX file. Build the engine again.")
