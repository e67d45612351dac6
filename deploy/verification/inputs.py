"""What the verify stage reads: a bundle, its engines and the data set, checked before anything is run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardedge.contracts import Engine
from hardedge.contracts.engine import Origin
from hardedge.data.content import require_usable_data, tell_notes
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.deploy.bundles.loading import OpenBundle, engine_of, load_bundle
from hardedge.deploy.bundles.same_data import require_same_data
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.verification.origin import origin_of


@dataclass(frozen=True)
class VerifyInputs:
    """A bundle, its engines with where they come from, and the data set or none: all of them checked."""

    bundle: OpenBundle
    engines: dict[Path, Engine]
    origins: dict[Path, Origin]
    data: Dataset | None


def open_inputs(
    directory: Path, engines: Sequence[Path], data: Path | None, trust: Trust | None, built: Collection[str] = ()
) -> VerifyInputs:
    """Opens all of them; raises BadInput for what is altered, of another bundle, or not signed by whom is trusted.

    `built` are digests of engine manifests that this command wrote itself.
    """
    bundle = load_bundle(directory, trust)
    bundle.check()
    dataset = open_dataset(data) if data else None
    if dataset:
        require_same_data(bundle.manifest, dataset)
        require_usable_data(dataset, ())
        tell_notes(dataset)
    found = {path: engine_of(bundle, path) for path in engines}
    origins = {path: origin_of(bundle, path, engine, built) for path, engine in found.items()}
    return VerifyInputs(bundle, found, origins, dataset)
