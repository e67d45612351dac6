"""A bundle opened for use: checked and hashed once, with what is read from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hardedge.contracts import Bundle, Engine, TrainingCurves, load, read_json
from hardedge.data.decoding import Pixels, read_image, read_mask
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.bundles.validity import check_bundle, check_model, reference_counts
from hardedge.errors import BadInput, faults_error
from hardedge.metrics import Counts
from hardedge.paths import StrPath, local_path


@dataclass(frozen=True)
class OpenBundle:
    """A bundle's directory and manifest, whose files have the digests that the manifest gives.

    `trust`, where somebody is trusted, is extended to the files that the bundle names.
    """

    directory: Path
    manifest: Bundle
    trust: Trust | None = None

    def model_path(self, precision: str) -> Path:
        """A precision's ONNX file; raises BadInput when the manifest lists no such file, or it cannot be run."""
        path = self._listed(self.manifest.model(precision).path)
        check_model(path)
        return path

    def golden_image(self, id: str) -> Pixels:
        """A golden image, uint8 [H, W, 3] RGB."""
        return read_image(self._listed(f"golden/images/{id}.png"))

    def golden_mask(self, id: str, like_HW: Pixels) -> Pixels:
        """A golden image's stored mask, uint8 [H, W]; raises BadInput unless it has that size and the classes."""
        return self._mask(f"golden/masks/{id}.png", like_HW)

    def reference_mask(self, id: str, like_HW: Pixels) -> Pixels:
        """The reference's mask of a test image, uint8 [H, W]; raises as golden_mask does."""
        return self._mask(f"reference/masks/{id}.png", like_HW)

    def hardness(self, id: str, label_HW: Pixels) -> Pixels | None:
        """The stored hardness of a test image, uint8 [H, W], 255 the hardest; None where the manifest lists none."""
        name = f"reference/hardness/{id}.png"
        if name not in self.manifest.files:
            return None
        hardness_HW = read_mask(self.directory / name)
        if hardness_HW.shape != label_HW.shape:
            path = self.directory / name
            raise BadInput(f"{path} is {hardness_HW.shape}, its label {label_HW.shape}. Export the bundle again.")
        return hardness_HW

    def training(self) -> TrainingCurves | None:
        """What its training logged; None where the bundle has none. Raises BadInput for a file with anything else."""
        if TrainingCurves.FILE not in self.manifest.files:
            return None
        return read_json(TrainingCurves, self.directory / TrainingCurves.FILE)

    @cached_property
    def counts(self) -> Counts:
        """The reference's stored confusion counts, int64 [N, C, C]; raises BadInput for a file with anything else."""
        return reference_counts(self.directory, self.manifest)

    def check(self) -> None:
        """Raises BadInput, all faults together, unless every name in the manifest is listed and can be used."""
        check_bundle(self.directory, self.manifest)

    def _listed(self, name: str) -> Path:
        if name not in self.manifest.files:
            path = self.directory / Bundle.FILE
            raise BadInput(f"{path} names {name}, which is not among its files. Export the bundle again.")
        return self.directory / name

    def _mask(self, name: str, like_HW: Pixels) -> Pixels:
        path, classes = self._listed(name), self.manifest.task.num_classes
        mask_HW = read_mask(path)
        if mask_HW.shape != like_HW.shape:
            raise BadInput(f"{path} is {mask_HW.shape}, its image {like_HW.shape}. Export the bundle again.")
        if np.max(mask_HW) >= classes:
            raise BadInput(f"{path} has class {mask_HW.max()}, the bundle {classes}. Export it again.")
        return mask_HW


def load_bundle(directory: StrPath, trust: Trust | None = None) -> OpenBundle:
    """Opens a bundle after its manifest and the digest of each of its files were checked.

    Raises BadInput for an altered bundle and, where somebody is trusted, one without that signature.
    """
    directory = local_path(directory)
    bundle = load(Bundle, directory)
    if trust:
        trust.require(directory, bundle)
        trust = trust.vouching(bundle.files.values())
    return OpenBundle(directory, bundle, trust)


def engine_of(bundle: OpenBundle, path: Path) -> Engine:
    """The engine in `path`, made from that bundle.

    Raises BadInput for an altered engine, another bundle's, and, where somebody is trusted, one that is not vouched
    for.
    """
    engine = load(Engine, path)
    if bundle.trust:
        bundle.trust.require_engine(path, engine)
    if engine.made_from != bundle.manifest.digest:
        raise BadInput(f"{path} was built from another bundle than {bundle.directory}. Build it again from this one.")
    faults = _mismatches(bundle.manifest, engine)
    if faults:
        raise faults_error(f"{path / Engine.FILE} does not fit the bundle", faults, "Build the engine again.")
    return engine


def _mismatches(bundle: Bundle, engine: Engine) -> list[str]:
    """What an engine's manifest says of itself and the bundle's files contradict."""
    model, plan = bundle.model(engine.precision), engine.files.get(engine.plan)
    faults = [] if plan else [f"plan: {engine.plan} is not among its files"]
    if engine.onnx_digest != model.onnx_digest:
        faults.append(f"onnx_digest: another ONNX file than the bundle's {engine.precision} one")
    of_file = [each.precision for each in bundle.models if bundle.files.get(each.path) == plan]
    if of_file and engine.precision not in of_file:
        faults.append(f"precision: {engine.precision}, but its file is the bundle's {of_file[0]} one")
    if engine.profiles != bundle.profiles:
        faults.append("profiles: others than the bundle's")
    return faults
