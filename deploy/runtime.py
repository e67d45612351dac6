"""Running an engine: images in, masks out, whatever made it."""

import hashlib
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hardedge.contracts import BuildOptions, Engine, Profile, load
from hardedge.deploy.execution import Execution
from hardedge.deploy.machine import compute_capability
from hardedge.deploy.onnx_session import onnxruntime_session
from hardedge.deploy.signing import Trust
from hardedge.deploy.soundness import require_sound_model
from hardedge.deploy.targets import parse_target
from hardedge.deploy.tensorrt_api import (
    MODULES,
    error_logger,
    installed_version,
    layers_of,
    loaded,
    refitted,
    runtime_for,
)
from hardedge.errors import BadInput, HardedgeError, MissingHere, first_line

Pixels = npt.NDArray[np.uint8]
Parts = tuple[float, float, float]

_WITHIN = "Use sizes inside the bundle's profile, and a device with free memory."
# of TensorRT's bindings, of CUDA, of a plan's libraries; not ours, which are told as they are
TENSORRT_FAILURES = (RuntimeError, OSError, ValueError, TypeError)
# what onnxruntime writes of a lost device and of memory that is short: no fault of the images
_DEVICE = ("CUDA", "CUDNN", "CUBLAS", "Failed to allocate memory", "bad_alloc", "BFCArena")


class Runner(Protocol):
    """A loaded engine."""

    def masks(self, images_BHWC: Pixels) -> Pixels:
        """Masks uint8 [B, H, W] of images uint8 [B, H, W, 3] RGB."""
        ...

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """The masks of each batch in order; in TensorRT a batch is copied while the one before it is computed."""
        ...

    def parts(self, images_BHWC: Pixels) -> Parts:
        """The seconds of copying images in, of computing, and of copying masks out; 0 where nothing is copied."""
        ...

    def close(self) -> None:
        """Frees what the engine holds."""
        ...


class OnnxRuntimeRunner:
    """An ONNX file in onnxruntime, on `cpu`, `cuda` or `tensorrt`; other outputs than the mask are dropped.

    `profiles` are the sizes for which TensorRT builds, in this process and each time anew: an engine that onnxruntime
    kept in a folder would be loaded though no manifest has its digest. What TensorRT does not take, CUDA computes.
    `threads` compute on the CPU, 0: as many as it has cores.
    """

    def __init__(self, onnx: Path, device: str = "cpu", profiles: Sequence[Profile] = (), threads: int = 0) -> None:
        self._device = device
        self._session: Any = onnxruntime_session(onnx, device, profiles, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._mask = self._outputs.index("mask")

    def masks(self, images_BHWC: Pixels) -> Pixels:
        try:
            outputs = self._session.run(self._outputs, {"image": images_BHWC})
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise _not_run(images_BHWC, first_line(error)) from None
        return np.asarray(outputs[self._mask], np.uint8)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        return map(self.masks, batches)

    def parts(self, images_BHWC: Pixels) -> Parts:
        began = time.perf_counter()
        if self._device == "cpu":
            self.masks(images_BHWC)
            return 0.0, time.perf_counter() - began, 0.0
        import onnxruntime

        binding = self._session.io_binding()
        binding.bind_ortvalue_input("image", onnxruntime.OrtValue.ortvalue_from_numpy(images_BHWC, "cuda", 0))
        binding.bind_output("mask", "cuda")
        binding.synchronize_inputs()
        copied = time.perf_counter()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        computed = time.perf_counter()
        binding.get_outputs()[0].numpy()
        return copied - began, computed - copied, time.perf_counter() - computed

    def close(self) -> None:
        self._session = None


class TensorRTRunner:
    """A plan in TensorRT or TensorRT-RTX on this machine's GPU; copies to and from it included.

    Images run in the first of the plan's profiles that holds their size. `options` are those that it was built with,
    `weights` the ONNX file that a plan without weights gets them from.
    """

    def __init__(self, name: str, plan: bytes, rtx: bool, options: BuildOptions, weights: bytes | None) -> None:
        self._builder = MODULES["tensorrt-rtx" if rtx else "tensorrt"]
        _require_alone(self._builder)
        self._errors: list[str] = []
        with self._told(f"{name} does not load on this machine", "Build it here, with this machine's TensorRT."):
            logger = error_logger(self._builder, self._errors)
            self._engine: Any = loaded(runtime_for(self._builder, logger, options), plan)
            if weights is not None:
                self._engine = refitted(self._engine, self._builder, logger, weights)
            self._execution = Execution(self._engine, self._builder)

    def layers(self) -> list[dict[str, Any]]:
        """The engine's layers, for the precision audit."""
        return layers_of(self._engine, self._builder)

    def masks(self, images_BHWC: Pixels) -> Pixels:
        with self._told(f"images of {_shape(images_BHWC)} do not run", _WITHIN):
            return self._execution.masks(images_BHWC)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        try:
            with self._told("the images do not run", _WITHIN):
                yield from self._execution.stream(_of_the_caller(batches))
        except _CallersError as failed:
            raise failed.error from failed.error.__cause__

    def parts(self, images_BHWC: Pixels) -> Parts:
        with self._told(f"images of {_shape(images_BHWC)} do not run", _WITHIN):
            return self._execution.parts(images_BHWC)

    def close(self) -> None:
        self._execution.close()
        self._engine = None

    @contextmanager
    def _told(self, problem: str, cure: str) -> Iterator[None]:
        """Turns a failure of TensorRT or CUDA into one message, with TensorRT's own errors."""
        self._errors.clear()
        try:
            yield
        except TENSORRT_FAILURES as error:
            reasons = "; ".join(dict.fromkeys((*self._errors, str(error))))
            raise MissingHere(f"{problem} ({reasons}). {cure}") from error


class _CallersError(Exception):
    """What the caller's own batches raised: no failure of TensorRT, and told as it is."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _of_the_caller(batches: Iterable[Pixels]) -> Iterator[Pixels]:
    try:
        yield from batches
    except TENSORRT_FAILURES as error:
        raise _CallersError(error) from error


def open_runner(engine: Path, trust: Trust | None = None) -> Runner:
    """Loads an engine directory after its manifest and digests were checked (a plan is native code).

    With `trust`, only when a trusted manifest has its digest. Raises BadInput for an altered or untrusted directory,
    MissingHere when this machine cannot run the engine.
    """
    manifest = load(Engine, engine)
    if trust:
        trust.require_engine(engine, manifest)
    if manifest.plan not in manifest.files:
        raise BadInput(f"{engine / Engine.FILE}, plan: {manifest.plan} is not among its files. Build the engine again.")
    target = parse_target(manifest.target)
    plan = engine / manifest.plan
    if target.backend == "onnxruntime":
        require_sound_model(plan)
        return OnnxRuntimeRunner(plan, target.device or "cpu", manifest.profiles)
    _require_same_device(manifest, target.device)
    _require_same_version(manifest, MODULES[target.backend])
    weights = _weights(engine, manifest)
    rtx = target.backend == "tensorrt-rtx"
    return TensorRTRunner(str(plan), _vouched(engine, manifest.plan, manifest), rtx, manifest.options, weights)


def _weights(engine: Path, manifest: Engine) -> bytes | None:
    """The ONNX file of a plan without weights; None where the plan has its own."""
    if manifest.options.strip_weights != (manifest.weights is not None):
        raise BadInput(f"{engine / Engine.FILE}: weights and options do not fit each other. Build the engine again.")
    if manifest.weights is None:
        return None
    if manifest.weights not in manifest.files:
        raise BadInput(
            f"{engine / Engine.FILE}, weights: {manifest.weights} is not among its files. Build the engine again."
        )
    require_sound_model(engine / manifest.weights)
    return _vouched(engine, manifest.weights, manifest)


def _vouched(engine: Path, name: str, manifest: Engine) -> bytes:
    # hashed once more in memory: the file may have been replaced since the manifest was checked
    content = (engine / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise BadInput(f"{engine / name} changed while it was read. Copy or build the engine again.")
    return content


def _not_run(images_BHWC: Pixels, reason: str) -> HardedgeError:
    if any(sign in reason for sign in _DEVICE):
        return MissingHere(f"the device failed ({reason}). Check it with hardedge doctor, free memory, run it again.")
    return BadInput(f"images of {_shape(images_BHWC)} do not run ({reason}). {_WITHIN}")


def _shape(images_BHWC: Pixels) -> str:
    return "x".join(map(str, images_BHWC.shape))


def _require_same_device(engine: Engine, capability: str | None) -> None:
    if capability is None:
        return
    here = compute_capability()
    if here != capability:
        found = f"this machine's GPU is {here}" if here else "no NVIDIA GPU answers here"
        raise MissingHere(f"{engine.target} was built ahead of time for {capability}; {found}. Verify it there.")


def _require_same_version(engine: Engine, builder: str) -> None:
    # the target names the module that is imported: the manifest's builder is anyone's text
    if engine.builder != builder:
        raise BadInput(f"{engine.target} is run by {builder}, but its manifest names {engine.builder}. Build it again.")
    try:
        here = installed_version(builder)
    except (ImportError, OSError) as error:
        wanted = f"{engine.builder}=={engine.builder_version}"
        raise MissingHere(f"{engine.target} needs {wanted} ({error}). Add it with: pip install {wanted}") from None
    made_by = _release(engine.builder_version)
    later = _release(here)[:1] == made_by[:1] and _release(here) >= made_by
    if here != engine.builder_version and not (engine.options.version_compatible and later):
        raise MissingHere(
            f"{engine.target} was built by {engine.builder} {engine.builder_version}, here is {here}, and plans "
            "need the same version. Build it again here."
        )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _require_alone(builder: str) -> None:
    """Two libraries of the same classes in one process were tried nowhere."""
    others = [name for name in MODULES.values() if name != builder and name in sys.modules]
    if others:
        raise MissingHere(
            "TensorRT and TensorRT-RTX engines cannot run in one process. Verify them with one command each."
        )
