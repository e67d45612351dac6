"""Running an engine: images in, masks out, whatever made it."""

from pathlib import Path

from hardedge.contracts import Engine, load
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.runner import Runner
from hardedge.deploy.targets import backend_of
from hardedge.errors import BadInput


def open_runner(engine: Path, trust: Trust | None = None) -> Runner:
    """Loads an engine directory after its manifest and digests were checked (a plan is native code).

    With `trust`, only when a trusted manifest has its digest. Raises BadInput for an altered or untrusted directory,
    Unavailable when this machine cannot run the engine.
    """
    manifest = load(Engine, engine)
    if trust:
        trust.require_engine(engine, manifest)
    if manifest.plan not in manifest.files:
        raise BadInput(f"{engine / Engine.FILE}, plan: {manifest.plan} is not among its files. Build the engine again.")
    return backend_of(manifest.target).open(engine, manifest)
