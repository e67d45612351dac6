"""A bundle and its engines as they are opened for use: whole, signed by whom is trusted, and of each other."""

from __future__ import annotations

from pathlib import Path

from hardedge.contracts import Bundle, Engine, load
from hardedge.deploy.bundles.signing import Trust
from hardedge.errors import BadInput


def load_bundle(directory: Path, trust: Trust | None) -> tuple[Bundle, Trust | None]:
    """The bundle, and the trust extended to the files that it names.

    Raises BadInput for an altered bundle and, where somebody is trusted, one without that signature.
    """
    bundle = load(Bundle, directory)
    if trust:
        trust.require(directory, bundle)
        trust = trust.vouching(bundle.files.values())
    return bundle, trust


def engine_of(directory: Path, bundle: Bundle, path: Path, trust: Trust | None) -> Engine:
    """The engine in `path`, made from the bundle that was opened from `directory`.

    Raises BadInput for an altered engine, another bundle's, and, where somebody is trusted, one that is not vouched
    for.
    """
    engine = load(Engine, path)
    if trust:
        trust.require_engine(path, engine)
    if engine.made_from != bundle.digest:
        raise BadInput(f"{path} was built from another bundle than {directory}. Build it again from this one.")
    return engine
