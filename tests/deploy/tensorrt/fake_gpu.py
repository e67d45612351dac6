"""A GPU of plain Python behind cuda-python's and TensorRT's names, for machines without one.

What a real one does later it does later too: work on a stream happens when the stream is waited for, so a missing wait,
a buffer that is reused too early or a graph of another size gives wrong masks. Every call is kept in `calls`.
"""

import ctypes
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

SUCCESS, INVALID_CAPTURE = 0, 901


@dataclass
class Gpu:
    """The machine's state: memory by address, what waits on each stream, the graphs, and every call in order."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)
    queues: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    captures: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    graphs: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    capturable: bool = True
    fails: str | None = None  # the call that fails
    names: int = 100

    def name(self) -> int:
        self.names += 1
        return self.names

    def allocate(self, size: int) -> int:
        buffer = (ctypes.c_uint8 * size)()
        ctypes.memset(buffer, 0xAB, size)  # never the zeros that a forgotten copy would pass for
        self.memory[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    def put(self, stream: int, work: Callable[[], None]) -> None:
        (self.captures.get(stream) if stream in self.captures else self.queues[stream]).append(work)

    def names_called(self) -> list[str]:
        return [call[0] for call in self.calls]


class Runtime:
    """cuda.bindings.runtime: each function notes its call and answers (error, value ...)."""

    cudaHostAllocDefault, cudaStreamNonBlocking = 0, 1
    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
    cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if not name.startswith("cuda") or not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            self.gpu.calls.append((name, *arguments))
            return (2,) if self.gpu.fails == name else found(*arguments)

        return call

    def cudaGetErrorString(self, error: int) -> Any:  # noqa: N802  CUDA's name, as below
        return SUCCESS, {2: b"out of memory", INVALID_CAPTURE: b"operation failed due to a previous error"}[error]

    def cudaGetLastError(self) -> Any:  # noqa: N802
        return (SUCCESS,)

    def cudaMalloc(self, size: int) -> Any:  # noqa: N802
        return SUCCESS, self.gpu.allocate(size)

    def cudaHostAlloc(self, size: int, flags: int) -> Any:  # noqa: N802
        return SUCCESS, self.gpu.allocate(size)

    def cudaFree(self, address: int) -> Any:  # noqa: N802
        del self.gpu.memory[address]
        return (SUCCESS,)

    cudaFreeHost = cudaFree

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:  # noqa: N802
        stream = self.gpu.name()
        self.gpu.queues[stream] = []
        return SUCCESS, stream

    def cudaStreamDestroy(self, stream: int) -> Any:  # noqa: N802
        assert not self.gpu.queues.pop(stream), "a stream with work on it was destroyed"
        return (SUCCESS,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: str, stream: int) -> Any:  # noqa: N802
        for address in (to, source):
            assert len(self.gpu.memory[address]) >= size
        self.gpu.put(stream, lambda: ctypes.memmove(to, source, size) and None)
        return (SUCCESS,)

    def cudaStreamSynchronize(self, stream: int) -> Any:  # noqa: N802
        assert stream not in self.gpu.captures, "a wait inside a capture"
        queue = self.gpu.queues[stream]
        while queue:
            queue.pop(0)()
        return (SUCCESS,)

    def cudaStreamBeginCapture(self, stream: int, mode: str) -> Any:  # noqa: N802
        self.gpu.captures[stream] = []
        return (SUCCESS,)

    def cudaStreamEndCapture(self, stream: int) -> Any:  # noqa: N802
        work = self.gpu.captures.pop(stream)
        if not self.gpu.capturable:
            return INVALID_CAPTURE, None
        graph = self.gpu.name()
        self.gpu.graphs[graph] = work
        return SUCCESS, graph

    def cudaGraphInstantiate(self, graph: int, flags: int) -> Any:  # noqa: N802
        executable = self.gpu.name()
        self.gpu.graphs[executable] = self.gpu.graphs[graph]
        return SUCCESS, executable

    def cudaGraphLaunch(self, executable: int, stream: int) -> Any:  # noqa: N802
        for work in self.gpu.graphs[executable]:
            self.gpu.put(stream, work)
        return (SUCCESS,)

    def cudaGraphDestroy(self, graph: int) -> Any:  # noqa: N802
        del self.gpu.graphs[graph]
        return (SUCCESS,)

    cudaGraphExecDestroy = cudaGraphDestroy


class Engine:
    """ICudaEngine of a network whose class is the brightest channel; `extra` is a float output beside the mask."""

    def __init__(self, gpu: Gpu, profiles: list[tuple[tuple[int, ...], ...]], extra: bool, kind: str) -> None:
        self.gpu, self.profiles, self.kind = gpu, profiles, kind
        self.tensors = ["image", "mask", *(["hardness"] if extra else [])]
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), len(profiles)

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name == "image" else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> str:
        return "DataType.FLOAT" if name == "hardness" else self.kind if name == "mask" else "DataType.UINT8"

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
        return [(*size, 3) for size in self.profiles[profile_index]]

    def create_execution_context(self, config: Any = None) -> Any:
        self.gpu.calls.append(("create_execution_context", *([config.cache] if config else [])))
        if config:
            config.cache.content = config.cache.content or b"kernels"  # compiled now
        return Context(self)

    def create_runtime_config(self) -> Any:
        return RuntimeConfig()


class RuntimeCache:
    """TensorRT-RTX's IRuntimeCache: bytes that a context fills."""

    content = b""

    def deserialize(self, blob: bytes) -> bool:
        self.content = bytes(blob)
        return True

    def serialize(self) -> bytes:
        return self.content


class RuntimeConfig:
    """TensorRT-RTX's IRuntimeConfig."""

    cache: Any = None

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache()

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return True


class Context:
    """IExecutionContext: refuses what the real one refuses."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.gpu = engine, engine.gpu
        self.shape: tuple[int, ...] = ()
        self.profile: int | None = None
        self.addresses: dict[str, int] = {}
        self.fresh = True  # a run has to come between a new shape and a capture

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self.gpu.calls.append(("set_optimization_profile_async", profile_index, stream_handle))
        self.profile, self.shape = profile_index, ()
        return profile_index < len(self.engine.profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.gpu.calls.append(("set_input_shape", name, shape))
        assert self.profile is not None, "no profile was chosen"
        least, _, most = self.engine.profiles[self.profile]
        self.shape, self.fresh = shape, True
        return all(low <= length <= high for low, length, high in zip(least, shape[:3], most, strict=True))

    def infer_shapes(self) -> list[str]:
        return [] if self.shape else ["image"]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape[:3] if name == "mask" else (self.shape[0], 1, *self.shape[1:3])

    def get_max_output_size(self, name: str) -> int:
        # more than the mask takes: TensorRT may pad
        return int(np.prod(self.shape[:3])) * (4 if name == "hardness" else 1) + 64

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.gpu.calls.append(("set_tensor_address", name, memory))
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.gpu.calls.append(("execute_async_v3", stream_handle))
        assert set(self.addresses) == set(self.engine.tensors), "a tensor has no address"
        if stream_handle in self.gpu.captures:
            assert not self.fresh, "a capture right after a new shape"
        self.fresh = False
        shape, addresses = self.shape, dict(self.addresses)
        self.gpu.put(stream_handle, lambda: self._run(shape, addresses))
        return True

    def _run(self, shape: tuple[int, ...], addresses: dict[str, int]) -> None:
        images, mask = self.gpu.memory[addresses["image"]], self.gpu.memory[addresses["mask"]]
        images_BHWC = np.frombuffer(images, np.uint8, int(np.prod(shape))).reshape(shape)
        classes = images_BHWC.argmax(-1).astype(np.uint8).tobytes()
        assert len(mask) >= self.get_max_output_size("mask")
        ctypes.memmove(addresses["mask"], classes, len(classes))


def install(
    monkeypatch: pytest.MonkeyPatch,
    *profiles: Any,
    extra: bool = False,
    kind: str = "DataType.UINT8",
    builder: str = "tensorrt",
) -> Gpu:
    """A GPU with cuda-python and TensorRT 10.16.1.11 in sys.modules; a plan `plan` loads as the engine above."""
    gpu = Gpu()
    cuda, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
    bindings.runtime = Runtime(gpu)  # type: ignore[attr-defined]
    cuda.bindings = bindings  # type: ignore[attr-defined]
    trt = types.ModuleType(builder)

    class ILogger:
        pass

    class TrtRuntime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if plan != b"plan":
                self.logger.log("Severity.ERROR", "the plan's magic tag does not match")
                return None
            return Engine(gpu, list(profiles), extra, kind)

    trt.__version__ = "10.16.1.11"  # type: ignore[attr-defined]
    trt.ILogger, trt.Runtime = ILogger, TrtRuntime  # type: ignore[attr-defined]
    trt.TensorIOMode = types.SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")  # type: ignore[attr-defined]
    for name, module in (("cuda", cuda), ("cuda.bindings", bindings), (builder, trt)):
        monkeypatch.setitem(sys.modules, name, module)
    for other in {"tensorrt", "tensorrt_rtx"} - {builder}:
        monkeypatch.delitem(sys.modules, other, raising=False)
    return gpu
