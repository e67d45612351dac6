"""Every difference between the TensorRTs that hardedge builds and runs with, and the only module that meets them.

What is touched below has one name in all of them, but for these (a test holds the table against their recorded APIs):

| name | 10.3 | 10.9 | 10.13 | 10.16 | 11.4 | RTX 1.7 | what follows |
|---|---|---|---|---|---|---|---|
| NetworkDefinitionCreationFlag.EXPLICIT_BATCH | yes | yes | yes | yes | no | no | Polygraphy's matter |
| BuilderFlag.FP16 | yes | yes | yes | yes | no | no | precision is in the ONNX file; no flag is set |
| BuilderFlag.INT8 | yes | yes | yes | yes | no | no | the same |
| IInt8Calibrator | yes | yes | yes | yes | no | no | Q/DQ nodes in the ONNX file |
| IBuilderConfig.set_compute_capability | no | no | no | no | no | yes | RTX builds ahead of time for a named device |
| IBuilderConfig.num_compute_capabilities | no | no | no | no | no | yes | the same |
| ComputeCapability | no | no | no | no | no | yes | the same |
| ICudaEngine.create_runtime_config | no | no | yes | yes | yes | yes | RTX alone keeps what it compiles when it runs |
| Builder.platform_has_fast_fp16 | yes | yes | yes | yes | no | no | never asked; the audit looks at the engine |

A name that exists may still do nothing: TensorRT-RTX has the timing cache and the hardware compatibility level, but the
first is a no-op and the second refused with a warning (1.7.1). It has DLA's names and no DLA core, and where no CUDA
driver answers it fails on every plan that can be refitted, so it makes none without weights. DLA is in TensorRT 10 for
Jetson and in 11 from 11.4.1 there (NVIDIA's documents): a builder is asked how many cores it has.

Networks are always STRONGLY_TYPED: that member is in all of them, and every layer takes it from 10.12 on.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from hardedge.contracts import BuildOptions
from hardedge.deploy.tensorrt.builder import Shares

if TYPE_CHECKING:
    import tensorrt_rtx as trt

MODULES: Final = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # by the target's runtime


def tensorrt_module(builder: str) -> ModuleType:
    """TensorRT's Python module, `tensorrt` or `tensorrt_rtx`; raises ImportError or OSError where it does not load."""
    return importlib.import_module(builder)


def installed_version(builder: str) -> str:
    """The version of that module; raises as tensorrt_module."""
    return str(tensorrt_module(builder).__version__)


def set_target_device(config: trt.IBuilderConfig, builder: str, device: str) -> None:
    """Builds for a device by name (sm86), which only TensorRT-RTX can; `here` is the device of this machine."""
    if device == "here":
        return
    trt = tensorrt_module(builder)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, device.upper()), 0)


def configure_builder(config: trt.IBuilderConfig, builder: str, options: BuildOptions) -> None:
    """Sets what the options ask for; of the rest the builder's defaults stay."""
    trt = tensorrt_module(builder)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace << 20)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.strip_weights:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        # the weights that come back are the same: the builder may optimise for them
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
    if options.dla is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def lacking_core(builder: trt.Builder, options: BuildOptions) -> str | None:
    """Why the DLA core that was asked for cannot be had on this device, in words; None where it can, or none was."""
    if options.dla is None or options.dla < builder.num_DLA_cores:
        return None
    return f"DLA core {options.dla}: this device has {builder.num_DLA_cores or 'no'} DLA cores, counted from 0"


def report_progress(config: trt.IBuilderConfig, builder: str, tell: Callable[[float], None]) -> None:
    """Calls `tell` with the share of the build that is done, 0..1, whenever it has grown by a percent."""
    trt = tensorrt_module(builder)

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]  # the module is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            self.shares = Shares()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.shares.started(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            share = self.shares.stepped(phase, step)
            if share is not None:
                tell(share)
            return True  # False would end the build

        def phase_finish(self, phase: str) -> None:
            self.shares.finished(phase)

    config.progress_monitor = Monitor()


def refit_engine(engine: trt.ICudaEngine, builder: str, logger: object, onnx: bytes) -> trt.ICudaEngine:
    """An engine without weights, given those of the ONNX file that it was built from; ValueError where they do not fit.

    It needs the device, as the engine does.
    """
    trt = tensorrt_module(builder)
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_bytes(onnx):
        raise ValueError("the ONNX file's weights are not those that the plan lacks")
    missing = refitter.get_missing_weights()
    if missing or not refitter.refit_cuda_engine():
        raise ValueError(f"the plan could not be given its weights (missing: {', '.join(missing[:5]) or 'none'})")
    return engine


def runtime_for(builder: str, logger: object, options: BuildOptions) -> trt.Runtime:
    """A runtime that loads plans of these options.

    Version-compatible plans carry a runtime of their own: only for these may host code of the plan run.
    """
    trt = tensorrt_module(builder)
    runtime = trt.Runtime(logger)
    if options.version_compatible:
        runtime.engine_host_code_allowed = True
    if options.dla is not None:
        runtime.DLA_core = options.dla
    return runtime


def unsupported_options(builder: str, options: BuildOptions) -> list[str]:
    """The options that a builder takes and ignores, or refuses, in words."""
    if builder != "tensorrt_rtx":
        return []
    said = {
        "hardware compatibility": options.hardware_compatible,
        "version compatibility": options.version_compatible,
        "DLA": options.dla is not None,
    }
    faults = [f"{name}: TensorRT-RTX has none" for name, wanted in said.items() if wanted]
    if options.strip_weights:
        faults.append("plans without weights: TensorRT-RTX makes none without a CUDA driver (1.7.1 fails on them)")
    return faults


def layers_of(engine: trt.ICudaEngine, builder: str) -> list[dict[str, Any]]:
    """The layers of a loaded engine as its inspector describes them; bare names where it was built without details."""
    trt = tensorrt_module(builder)
    inspector = engine.create_engine_inspector()
    found = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return [layer if isinstance(layer, dict) else {"Name": layer} for layer in found.get("Layers", ())]


def error_logger(builder: str, errors: list[str]) -> object:
    """A logger that appends TensorRT's errors to a list and prints nothing."""
    trt = tensorrt_module(builder)

    class Errors(trt.ILogger):  # type: ignore[name-defined,misc]  # the module is chosen at run time
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: object, message: str) -> None:
            if str(severity).endswith("ERROR"):  # INTERNAL_ERROR or ERROR
                errors.append(message.strip())

    return Errors()


def load_engine(runtime: trt.Runtime, plan: bytes) -> trt.ICudaEngine:
    """A plan as an engine; RuntimeError where TensorRT refuses it, which executes the plan's code."""
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise RuntimeError("TensorRT refuses the plan")
    return engine


def engine_tensors(engine: trt.ICudaEngine, builder: str) -> dict[str, tuple[bool, str]]:
    """Each tensor that goes in or comes out: whether it goes in, and its type by name (UINT8)."""
    trt = tensorrt_module(builder)
    names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    return {
        name: (
            engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            str(engine.get_tensor_dtype(name)).split(".")[-1],
        )
        for name in names
    }


def profiles_of(engine: trt.ICudaEngine, tensor: str) -> list[list[tuple[int, int, int]]]:
    """The least, typical and largest (batch, height, width) of a tensor in each optimisation profile."""
    places = range(engine.num_optimization_profiles)
    # a shape is [batch, height, width, 3]
    return [[(s[0], s[1], s[2]) for s in engine.get_tensor_profile_shape(tensor, place)] for place in places]


class Kernels:
    """What TensorRT-RTX compiles for an engine when it runs: given back by a process before, kept for the next one.

    `kept` are its serialised kernels; what TensorRT-RTX does not take (another GPU, another version) it compiles anew.
    """

    def __init__(self, engine: trt.ICudaEngine, kept: bytes | None) -> None:
        self.config: Any = engine.create_runtime_config()
        self._cache: Any = self.config.create_runtime_cache()
        self._kept = kept or b""
        if kept:
            self._cache.deserialize(kept)
        self.config.set_runtime_cache(self._cache)

    def fresh(self) -> bytes:
        """The serialised kernels where they are others than those that were given; empty where nothing was compiled."""
        made = bytes(memoryview(self._cache.serialize()))
        return b"" if made == self._kept else made


def new_context(engine: trt.ICudaEngine, kernels: Kernels | None = None) -> trt.IExecutionContext:
    """A context, with its own memory for activations; RuntimeError where the device has none left."""
    context = engine.create_execution_context(kernels.config) if kernels else engine.create_execution_context()
    if context is None:
        raise RuntimeError("TensorRT gives no execution context: the device's memory may be full")
    return context


def set_shape(context: trt.IExecutionContext, shape: tuple[int, ...], profile: int | None, stream: int) -> None:
    """Makes a context run images of this shape, in another profile where one is given; RuntimeError if it refuses."""
    if profile is not None and not context.set_optimization_profile_async(profile, stream):
        raise RuntimeError(f"TensorRT refuses optimisation profile {profile}")
    if not context.set_input_shape("image", shape):
        raise RuntimeError(f"TensorRT refuses images of {shape}")
    missing = context.infer_shapes()
    if missing:
        raise RuntimeError(f"TensorRT lacks {', '.join(missing)}")


def output_shapes(context: trt.IExecutionContext, names: list[str]) -> dict[str, tuple[tuple[int, ...], int]]:
    """The shape of each output at the shape that was set, and the bytes that TensorRT asks for it."""
    return {name: (tuple(context.get_tensor_shape(name)), context.get_max_output_size(name)) for name in names}


def bind_tensor(context: trt.IExecutionContext, name: str, address: int) -> None:
    """Tells a context where a tensor lies on the device."""
    if not context.set_tensor_address(name, address):
        raise RuntimeError(f"TensorRT refuses the address of {name}")


def enqueue_run(context: trt.IExecutionContext, stream: int) -> None:
    """Puts the engine on a stream; RuntimeError if TensorRT refuses."""
    if not context.execute_async_v3(stream):
        raise RuntimeError("TensorRT refuses to run")
