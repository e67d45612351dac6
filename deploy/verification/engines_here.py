"""The engines that `hardedge verify` runs: those that it was given, or what this machine can build from the bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardedge.artefact import require_free
from hardedge.console import note
from hardedge.deploy.backends.request import Target
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.engines.build import build
from hardedge.deploy.precisions import cannot_hold
from hardedge.deploy.targets import BACKENDS
from hardedge.errors import Unavailable


@dataclass(frozen=True)
class EnginesHere:
    """The engines to verify, whom to trust for them, and the digests of the manifests that were written here."""

    paths: Sequence[Path]
    trust: Trust | None
    built: frozenset[str] = frozenset()


@contextmanager
def engines_or_own(
    bundle: Path, engines: Sequence[Path], out: Path, trust: Trust | None, force: bool
) -> Iterator[EnginesHere]:
    """The engines that were given; without any, engines built from the bundle for the block.

    Those are of every target that runs here and every precision of the bundle. A trusted bundle's are trusted: nobody
    else has touched them. Raises BadInput for an altered or untrusted bundle.
    """
    if engines:
        yield EnginesHere(engines, trust)
        return
    require_free(out, force, [bundle])
    source = load_bundle(bundle, trust)
    trust, built = source.trust, set()
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        paths = []
        pairs = [(target, model.precision) for target in targets_here() for model in source.manifest.models]
        for target, precision in (pair for pair in pairs if cannot_hold(*pair) is None):
            path = Path(folder) / f"{target.replace(':', '-')}-{precision}"
            try:
                engine = build(bundle, target, path, precision=precision)
            except Unavailable as error:
                note(f"Not built here: {target} {precision}. {error}")
                continue
            paths.append(path)
            built.add(engine.digest)
            trust = trust.vouching(engine.files.values()) if trust else None
        yield EnginesHere(paths, trust, frozenset(built))


def targets_here() -> list[str]:
    """Every target that this machine runs, as its runtimes tell."""
    return [str(Target(backend.name, device)) for backend in BACKENDS for device in backend.runs_here()]
