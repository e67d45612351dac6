"""The latency of tune's mixtures over FP32's, on a target that runs here."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from shutil import copyfile, copytree

import onnx

from hardedge.contracts import Bundle, LatencyComparison, seal
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.paired_runs import TooSlow, compare_runners
from hardedge.errors import Unavailable
from hardedge.export.tune.record import LOW, MIXED
from hardedge.graphs.canonical import onnx_digest

# for each mixture: the comparison's ten pairs of sessions have eight runs each, half of them slower than FP32's
LEAST_SECONDS, PAIRS, RUNS = 20.0, 10, 16


class Stopwatch:
    """Times mixtures on one target beside the bundle's FP32 engine, runs interleaved, batch 1, on a golden image."""

    def __init__(self, directory: Path, bundle: Bundle, target: str, folder: Path) -> None:
        self.directory, self.bundle, self.target, self.folder = directory, bundle, target, folder
        self.image_HWC = OpenBundle(directory, bundle).golden_image(bundle.golden[0])
        self.fp32 = folder / "fp32-engine"
        build(directory, target, self.fp32, precision="fp32")
        self.seconds = max(LEAST_SECONDS, PAIRS * self._seconds_of_a_pair())

    def _seconds_of_a_pair(self) -> float:
        began = time.perf_counter()
        with closing(open_runner(self.fp32)) as runner:
            runner.masks(self.image_HWC[None])
            opened = time.perf_counter()
            runner.masks(self.image_HWC[None])
            return 2 * (opened - began) + RUNS * (time.perf_counter() - opened)

    def measured(self, mixture: onnx.ModelProto, arm: str) -> LatencyComparison:
        """The mixture's latency over FP32's; raises Unavailable when the machine is too busy to tell."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            engine = Path(name) / "engine"
            build(self._bundle_of(mixture, Path(name) / "bundle"), self.target, engine, precision=MIXED)
            try:
                found = compare_runners(
                    partial(open_runner, self.fp32),
                    partial(open_runner, engine),
                    self.image_HWC[None],
                    self.seconds,
                    arm=arm,
                )
            except TooSlow as error:
                raise Unavailable(f"{self.target}: {error}. Run it again on a quieter machine.") from None
        return dataclasses.replace(found, detail=f"{self.target}, {found.detail}")

    def _bundle_of(self, mixture: onnx.ModelProto, directory: Path) -> Path:
        """What a builder reads of a bundle: its manifest, the files that it compiles, and the golden images."""
        fp32 = self.bundle.model("fp32").path
        copytree(self.directory / "golden", directory / "golden")
        copyfile(self.directory / fp32, directory / fp32)
        (directory / "model.mixed.onnx").write_bytes(mixture.SerializeToString(deterministic=True))
        mixed = dataclasses.replace(
            self.bundle.model(LOW), path="model.mixed.onnx", precision=MIXED, onnx_digest=onnx_digest(mixture)
        )
        seal(directory, dataclasses.replace(self.bundle, models=(self.bundle.model("fp32"), mixed), control=None))
        return directory


@contextmanager
def candidate_timer(directory: Path, bundle: Bundle, target: str) -> Iterator[Stopwatch]:
    """A stopwatch for the target; raises BadInput for an unknown one, Unavailable for one that does not run here."""
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        yield Stopwatch(directory, bundle, target, Path(folder))
