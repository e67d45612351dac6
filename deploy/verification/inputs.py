"""What the verify stage reads: a bundle, its engines and the data set, checked before anything is run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hardedge.contracts import Bundle, Engine
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.deploy.bundles.contents import require_same_data
from hardedge.deploy.bundles.loading import engine_of, load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.bundles.validity import check_bundle, read_model
from hardedge.errors import BadInput
from hardedge.graphs.pinning import pin_to_fp32


@dataclass(frozen=True)
class VerifyInputs:
    """A bundle, its engines, and the data set or none: all of them checked."""

    directory: Path
    bundle: Bundle
    engines: dict[Path, Engine]
    data: Dataset | None
    trust: Trust | None


def open_inputs(directory: Path, engines: Sequence[Path], data: Path | None, trust: Trust | None) -> VerifyInputs:
    """Opens all of them; raises BadInput for what is altered, of another bundle, or not signed by whom is trusted."""
    bundle, trust = load_bundle(directory, trust)
    check_bundle(directory, bundle)
    dataset = open_dataset(data) if data else None
    if dataset:
        require_same_data(bundle, dataset)
    found = {path: _engine_of(directory, bundle, path, trust) for path in engines}
    return VerifyInputs(directory, bundle, found, dataset, trust)


def _engine_of(source: Path, bundle: Bundle, directory: Path, trust: Trust | None) -> Engine:
    engine = engine_of(source, bundle, directory, trust)
    if engine.onnx_digest != bundle.model(engine.precision).onnx_digest:
        raise BadInput(f"{directory} was built from another ONNX file than the bundle's. Build it again from this one.")
    if engine.builder == "onnxruntime" and not _of_bundle(source, bundle, directory, engine):
        raise BadInput(f"{directory / engine.plan} is not the bundle's ONNX file. Build the engine again.")
    return engine


def _of_bundle(source: Path, bundle: Bundle, directory: Path, engine: Engine) -> bool:
    """Whether a session's file is the bundle's, but for the nodes that were healed."""
    name = bundle.model(engine.precision).path
    if not engine.healed:
        return engine.files[engine.plan] == bundle.files[name]
    from hardedge.graphs.canonical import onnx_digest

    expected = pin_to_fp32(read_model(source / name), {each.node for each in engine.healed})
    return onnx_digest(read_model(directory / engine.plan)) == onnx_digest(expected)
