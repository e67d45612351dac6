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
| Builder.platform_has_fast_fp16 | yes | yes | yes | yes | no | no | never asked; the audit looks at the engine |

A name that exists may still do nothing: TensorRT-RTX has the timing cache and the hardware compatibility level, but the
first is a no-op and the second refused with a warning (1.7.1). Networks are always STRONGLY_TYPED: that member is in
all of them, and every layer takes it from 10.12 on.
"""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from hardedge.contracts import BuildOptions

if TYPE_CHECKING:
    import tensorrt_rtx as trt

MODULES: Final = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # by the target's runtime


def tensorrt_module(builder: str) -> ModuleType:
    """TensorRT's Python module, `tensorrt` or `tensorrt_rtx`; raises ImportError or OSError where it does not load."""
    return importlib.import_module(builder)


def installed_version(builder: str) -> str:
    """The version of that module; raises as tensorrt_module."""
    return str(tensorrt_module(builder).__version__)


def aim(config: trt.IBuilderConfig, builder: str, device: str) -> None:
    """Builds for a device by name (sm86), which only TensorRT-RTX can; `here` is the device of this machine."""
    if device == "here":
        return
    trt = tensorrt_module(builder)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, device.upper()), 0)


def configure(config: trt.IBuilderConfig, builder: str, options: BuildOptions) -> None:
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


def host_code_runtime(builder: str, logger: object) -> trt.Runtime:
    """A runtime for version-compatible engines, which carry a runtime of their own: host code of the plan runs."""
    trt = tensorrt_module(builder)
    runtime = trt.Runtime(logger)
    runtime.engine_host_code_allowed = True
    return runtime


def unsupported(builder: str, options: BuildOptions) -> list[str]:
    """The options that a builder takes and ignores, or refuses, in words."""
    if builder != "tensorrt_rtx":
        return []
    said = {
        "hardware compatibility": options.hardware_compatible,
        "version compatibility": options.version_compatible,
    }
    return [f"{name}: TensorRT-RTX has none" for name, wanted in said.items() if wanted]


def layers_of(engine: trt.ICudaEngine, builder: str) -> list[dict[str, Any]]:
    """The layers of a loaded engine as its inspector describes them; bare names where it was built without details."""
    trt = tensorrt_module(builder)
    inspector = engine.create_engine_inspector()
    found = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return [layer if isinstance(layer, dict) else {"Name": layer} for layer in found.get("Layers", ())]
