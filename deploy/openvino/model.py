"""Compiled models of OpenVINO: its devices, the precision that is asked for, and the one that it says it executes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from hardedge.deploy.runner import Layer
from hardedge.errors import BadInput, Unavailable, missing_extra
from hardedge.precisions import precision_named

DEVICES: Final = ("cpu", "gpu", "npu")
# our names of OpenVINO's element types
_PRECISIONS: Final = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8", "f8e4m3": "fp8"}
_HINTS: Final = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
# its layers that multiply and add, whose precision is what an engine's name promises
_WEIGHTED: Final = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "Gemm")
_CONVERTING: Final = ("Convert", "FakeQuantize", "Reorder")


def openvino_module() -> Any:
    """OpenVINO's module; raises Unavailable where it is not installed or does not load."""
    if find_spec("openvino") is None:
        raise missing_extra("openvino", "openvino")
    try:
        import openvino
    except (ImportError, OSError) as error:
        fix = "pip install --force-reinstall 'hardedge[openvino]'"
        raise Unavailable(f"openvino does not load ({error}). Mend it with: {fix}") from None
    return openvino


def find_devices() -> tuple[str, ...]:
    """The devices that OpenVINO finds on this machine, by our names; none where it is not installed."""
    try:
        found = openvino_module().Core().available_devices
    except Unavailable:
        return ()
    return tuple(device for device in DEVICES if any(name.split(".")[0] == device.upper() for name in found))


def capabilities(device: str) -> frozenset[str]:
    """What a device of this machine computes in, by OpenVINO's names (FP32, INT8, BF16)."""
    return frozenset(openvino_module().Core().get_property(device.upper(), "OPTIMIZATION_CAPABILITIES"))


def compile_model(onnx: Path, device: str, precision: str, threads: int = 0) -> Any:
    """The file compiled for a device, in the precision of its name; `threads` on a CPU, 0: as many as it has cores.

    Without the hint OpenVINO computes an FP32 file in BF16 or FP16 where the device can. Raises Unavailable where the
    device is not here, or does not execute that precision; BadInput for a file that OpenVINO refuses.
    """
    if device not in find_devices():
        openvino_module()  # says what is missing
        raise Unavailable(f"OpenVINO finds no {device} here. Use openvino:cpu, or install the device's driver.")
    settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": _hint(device, precision), "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino_module().Core().compile_model(str(onnx), device.upper(), settings)
    except RuntimeError as error:
        raise BadInput(f"OpenVINO refused {onnx} on {device} ({reason_of(error)}). Use another target.") from None
    require_executed(executed_precisions(layers_of(compiled)), device, precision)
    return compiled


def reason_of(error: RuntimeError) -> str:
    """What OpenVINO's exception says: its last line, as those before it name places in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say why"


def _hint(device: str, precision: str) -> str:
    """The type of all that is not quantised: beside INT8 FP16 where the device has it, as on GPUs, else FP32."""
    rest = precision_named(precision).rest
    if rest == "fp16" and "FP16" not in capabilities(device):
        return _HINTS["fp32"]
    return _HINTS[rest or precision]


def layers_of(compiled: Any) -> list[Layer]:
    """The layers of a compiled model as its runtime model tells them, with the ONNX nodes that are in each."""
    layers = []
    for node in compiled.get_runtime_model().get_ops():
        told = node.get_rt_info()
        kind, executed, names = (_text(told, key) for key in ("layerType", "runtimePrecision", "originalLayersNames"))
        if kind in ("Const", "Input", "Output"):
            continue
        # a copy without its bias is named NODE/WithoutBiases
        nodes = tuple(dict.fromkeys(name.removesuffix("/WithoutBiases") for name in names.split(",") if name))
        layers.append(Layer(nodes, _PRECISIONS.get(executed), converts=kind in _CONVERTING, weighted=kind in _WEIGHTED))
    return layers


def _text(told: Any, key: str) -> str:
    return str(told[key].value) if key in told else ""


def executed_precisions(layers: Sequence[Layer]) -> dict[str, int]:
    """The convolutions and matrix products by the precision that they are executed in, most first."""
    found = Counter(layer.precision or "other" for layer in layers if layer.weighted)
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def require_executed(executed: dict[str, int], device: str, precision: str) -> None:
    """Raises Unavailable where nothing is executed in the precision that an engine is named for."""
    if executed and precision_named(precision).counted_as not in executed:
        found = ", ".join(f"{count} in {name}" for name, count in executed.items())
        raise Unavailable(
            f"OpenVINO does not execute {precision} on this {device} (its convolutions: {found}). "
            "Use a precision that it has."
        )
