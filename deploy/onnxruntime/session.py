"""Sessions of onnxruntime: its devices, how they are asked for, and what it says when it refuses."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hardedge.contracts import Profile, hull
from hardedge.deploy.onnxruntime.channels_last import with_channels_last_answer
from hardedge.errors import BadInput, HardedgeError, Unavailable, first_line
from hardedge.graphs.files import is_large, read_onnx

_CUDA = "CUDAExecutionProvider"
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": _CUDA,
    "tensorrt": "TensorrtExecutionProvider",
}


def onnxruntime_session(onnx: Path, device: str, profiles: Sequence[Profile] = (), threads: int = 0) -> Any:
    """A session of the file on `cpu`, `cuda` or `tensorrt`, which is built for the profiles.

    `threads` compute on the CPU, 0: as many as it has cores.

    Raises BadInput for a file that onnxruntime refuses, Unavailable where it has no such device here.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(f"onnxruntime cannot be used ({error}). Add it with: pip install hardedge") from None
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise Unavailable(
            f"onnxruntime {onnxruntime.__version__} has no {provider}. Install onnxruntime-gpu, or use onnxruntime:cpu."
        )
    onnxruntime.set_default_logger_severity(4)  # what fails is raised
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # else a session's idle threads spin on after a run and slow whatever runs next, a second session most of all
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        # without fallback: it would print, and go on with another provider
        session = onnxruntime.InferenceSession(
            _source(onnx, device), options, providers=_providers(device, profiles), enable_fallback=0
        )
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise _not_loaded(onnx, device, error) from None
    if session.get_providers()[0] != provider:
        raise Unavailable(
            f"onnxruntime fell back from {provider} to {session.get_providers()[0]}: no usable GPU. "
            "Check nvidia-smi and the CUDA libraries, or use onnxruntime:cpu."
        )
    return session


def _source(path: Path, device: str) -> str | bytes:
    """The file, or on the CPU a graph with the same values that its kernels are faster with."""
    model = read_onnx(path) if device == "cpu" else None
    if model is None or is_large(model):
        return str(path)
    faster = with_channels_last_answer(model)
    return str(path) if faster is model else faster.SerializeToString()


def _providers(device: str, profiles: Sequence[Profile]) -> list[str | tuple[str, dict[str, str]]]:
    """The providers that a device asks for, in their order; TensorRT's gets the range that holds every profile."""
    if device != "tensorrt" or not profiles:
        return [_PROVIDERS[device], *([_CUDA] if device == "tensorrt" else [])]
    whole = hull(profiles)
    sizes = {"min": whole.min, "opt": whole.opt, "max": whole.max}
    shapes = {name: "x".join(map(str, (*size, 3))) for name, size in sizes.items()}
    return [(_PROVIDERS[device], {f"trt_profile_{name}_shapes": f"image:{shapes[name]}" for name in shapes}), _CUDA]


def _not_loaded(onnx: Path, device: str, error: Exception) -> HardedgeError:
    reason = first_line(error)
    if device != "cpu":
        provider = _PROVIDERS[device]
        return Unavailable(
            f"onnxruntime cannot use {provider} here ({reason}). See hardedge doctor, or use onnxruntime:cpu."
        )
    return BadInput(f"onnxruntime refused {onnx} ({reason}). Export it again.")


def onnxruntime_version() -> str:
    """The version of whichever onnxruntime package is installed; raises Unavailable when none is."""
    for package in ("onnxruntime-gpu", "onnxruntime"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise Unavailable("onnxruntime is not installed. Add it with: pip install hardedge")
