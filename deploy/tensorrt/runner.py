"""Engines that TensorRT and TensorRT-RTX run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hardedge.contracts import BuildOptions, Engine
from hardedge.data.decoding import Pixels
from hardedge.deploy.machine import compute_capability
from hardedge.deploy.runner import WITHIN_PROFILE, Layer, Parts, shape_text
from hardedge.deploy.tensorrt.api import (
    MODULES,
    Kernels,
    error_logger,
    installed_version,
    layers_of,
    load_engine,
    refit_engine,
    runtime_for,
)
from hardedge.deploy.tensorrt.execution import Execution
from hardedge.deploy.tensorrt.layers import read_layers
from hardedge.deploy.tensorrt.versions import loads_plan
from hardedge.errors import BadInput, Unavailable

# of TensorRT's bindings, of CUDA, of a plan's libraries; not ours, which are told as they are
TENSORRT_FAILURES = (RuntimeError, OSError, ValueError, TypeError)


class TensorRTRunner:
    """A plan in TensorRT or TensorRT-RTX on this machine's GPU; copies to and from it included.

    Images run in the first of the plan's profiles that holds their size. `options` are those that it was built with,
    `weights` the ONNX file that a plan without weights gets them from. `kept` are kernels that TensorRT-RTX compiled
    for it before; those that it compiles now go to `keep` when the runner is closed.
    """

    def __init__(
        self,
        name: str,
        plan: bytes,
        rtx: bool,
        options: BuildOptions,
        weights: bytes | None,
        kept: bytes | None = None,
        keep: Callable[[bytes], None] | None = None,
    ) -> None:
        self._builder = MODULES["tensorrt-rtx" if rtx else "tensorrt"]
        _require_alone(self._builder)
        self._errors: list[str] = []
        with self._told(f"{name} does not load on this machine", "Build it here, with this machine's TensorRT."):
            logger = error_logger(self._builder, self._errors)
            self._engine: Any = load_engine(runtime_for(self._builder, logger, options), plan)
            if weights is not None:
                self._engine = refit_engine(self._engine, self._builder, logger, weights)
            self._kernels = Kernels(self._engine, kept) if rtx else None
            self._execution = Execution(self._engine, self._builder, self._kernels)
        self._keep = keep

    @property
    def graph(self) -> bool:
        """Whether the last size that came twice runs as a CUDA graph."""
        return self._execution.graph

    def layers(self) -> list[Layer]:
        return read_layers(layers_of(self._engine, self._builder))

    def masks(self, images_BHWC: Pixels) -> Pixels:
        with self._told(f"images of {shape_text(images_BHWC)} do not run", WITHIN_PROFILE):
            return self._execution.masks(images_BHWC)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        try:
            with self._told("the images do not run", WITHIN_PROFILE):
                yield from self._execution.stream(_of_the_caller(batches))
        except _CallersError as failed:
            raise failed.error from failed.error.__cause__

    def parts(self, images_BHWC: Pixels) -> Parts:
        with self._told(f"images of {shape_text(images_BHWC)} do not run", WITHIN_PROFILE):
            return self._execution.parts(images_BHWC)

    def close(self) -> None:
        if self._kernels and self._keep and (fresh := self._kernels.fresh()):
            self._keep(fresh)
        self._execution.close()
        self._engine = self._kernels = None

    @contextmanager
    def _told(self, problem: str, fix: str) -> Iterator[None]:
        """Turns a failure of TensorRT or CUDA into one message, with TensorRT's own errors."""
        self._errors.clear()
        try:
            yield
        except TENSORRT_FAILURES as error:
            reasons = "; ".join(dict.fromkeys((*self._errors, str(error))))
            raise Unavailable(f"{problem} ({reasons}). {fix}") from error


class _CallersError(Exception):
    """What the caller's own batches raised: no failure of TensorRT, and told as it is."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _of_the_caller(batches: Iterable[Pixels]) -> Iterator[Pixels]:
    try:
        yield from batches
    except TENSORRT_FAILURES as error:
        raise _CallersError(error) from error


def _require_same_device(engine: Engine, capability: str | None) -> None:
    if capability is None:
        return
    here = compute_capability()
    if here != capability:
        found = f"this machine's GPU is {here}" if here else "no NVIDIA GPU answers here"
        raise Unavailable(f"{engine.target} was built ahead of time for {capability}; {found}. Verify it there.")


def _require_same_version(engine: Engine, builder: str) -> None:
    # the target names the module that is imported: the manifest's builder is anyone's text
    if engine.builder != builder:
        raise BadInput(f"{engine.target} is run by {builder}, but its manifest names {engine.builder}. Build it again.")
    try:
        here = installed_version(builder)
    except (ImportError, OSError) as error:
        wanted = f"{engine.builder}=={engine.builder_version}"
        raise Unavailable(f"{engine.target} needs {wanted} ({error}). Add it with: pip install {wanted}") from None
    if not loads_plan(engine, here):
        raise Unavailable(
            f"{engine.target} was built by {engine.builder} {engine.builder_version}, here is {here}, and plans "
            "need the same version. Build it again here."
        )


def _require_alone(builder: str) -> None:
    """Two libraries of the same classes in one process were tried nowhere."""
    others = [name for name in MODULES.values() if name != builder and name in sys.modules]
    if others:
        raise Unavailable(
            "TensorRT and TensorRT-RTX engines cannot run in one process. Verify them with one command each."
        )
