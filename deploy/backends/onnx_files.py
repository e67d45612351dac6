"""Runtimes that take an ONNX file as it is: an engine is that file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from hardedge.contracts import Engine, Profile
from hardedge.data.decoding import Pixels
from hardedge.deploy.backends.backend import Backend, OpenModel
from hardedge.deploy.backends.request import BuildRequest, BuiltPlan, Target
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.runner import Layer, Parts, Runner

# the doctor's topics that are nothing to an engine on a CPU
WITHOUT_NVIDIA: Final = (
    *("gpu", "driver", "jetpack", "cuda", "cuda-python", "compute capability"),
    *("tensorrt", "tensorrt-rtx"),
)


class FunctionRunner:
    """A function from images uint8 [B, H, W, 3] to masks uint8 [B, H, W], run where the images are."""

    def __init__(self, run: Callable[[Pixels], Pixels]) -> None:
        self._run = run

    def masks(self, images_BHWC: Pixels) -> Pixels:
        return self._run(images_BHWC)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        return map(self.masks, batches)

    def parts(self, images_BHWC: Pixels) -> Parts:
        began = time.perf_counter()
        self.masks(images_BHWC)
        return 0.0, time.perf_counter() - began, 0.0

    def layers(self) -> list[Layer]:
        return []

    def close(self) -> None:
        del self._run


def onnx_backend(name: str, package: str, open_model: OpenModel) -> Backend:
    """The table's line of a runtime on the CPU, of an installed package, that `open_model` loads ONNX files with."""

    def compile_nothing(
        onnx: Path,
        precision: str,
        targets: Sequence[Target],
        profiles: Sequence[Profile],
        folder: Path,
        request: BuildRequest,
    ) -> dict[Target, BuiltPlan]:
        return {target: BuiltPlan(onnx, name, version(package), 0.0) for target in targets}

    def open_engine(engine: Path, manifest: Engine) -> Runner:
        check_model(engine / manifest.plan)
        return open_model(engine / manifest.plan, "cpu", manifest.profiles)

    return Backend(
        name=name,
        devices=("cpu",),
        builder=name,
        modules={package: package},
        compile=compile_nothing,
        open=open_engine,
        open_model=open_model,
        runs_here=lambda: ("cpu",),
        unconcerned={"cpu": WITHOUT_NVIDIA},
    )
