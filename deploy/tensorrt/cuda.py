"""CUDA through cuda-python: streams, buffers and graphs, every failure an exception."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.errors import missing_extra

Pixels = npt.NDArray[np.uint8]


class CudaError(RuntimeError):
    """A call of CUDA's runtime that did not succeed."""


def cuda_runtime() -> Any:
    """cuda-python's module of the CUDA runtime; raises Unavailable without the extra `tensorrt`."""
    try:
        from cuda.bindings import runtime  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise missing_extra("cuda-python", "tensorrt") from None
    return runtime


def check_cuda(runtime: Any, answer: Sequence[Any]) -> Any:
    """The value of a call's answer (error, value ...); raises CudaError with CUDA's own words."""
    error, *values = answer
    if int(error) != 0:
        _, said = runtime.cudaGetErrorString(error)
        raise CudaError(f"CUDA: {said.decode() if isinstance(said, bytes) else said}")
    return values[0] if values else None


class Memory:
    """Device memory, and pinned host memory of the same size where it is copied; it grows and never shrinks."""

    def __init__(self, runtime: Any, *, pinned: bool) -> None:
        self._runtime, self._pinned = runtime, pinned
        self.size = self.device = self._host = 0

    def reserve(self, size: int) -> None:
        """Room for `size` bytes; both addresses change where there was less."""
        if size <= self.size:
            return
        self.free()
        self.device = check_cuda(self._runtime, self._runtime.cudaMalloc(size))
        if self._pinned:
            flags = self._runtime.cudaHostAllocDefault
            self._host = check_cuda(self._runtime, self._runtime.cudaHostAlloc(size, flags))
        self.size = size

    def host(self, shape: tuple[int, ...]) -> Pixels:
        """The first bytes of the pinned memory as an array: a view, valid until the memory grows or is freed."""
        count = int(np.prod(shape))
        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(self._host)).reshape(shape)

    @property
    def host_address(self) -> int:
        return self._host

    def free(self) -> None:
        if self.device:
            check_cuda(self._runtime, self._runtime.cudaFree(self.device))
        if self._host:
            check_cuda(self._runtime, self._runtime.cudaFreeHost(self._host))
        self.size = self.device = self._host = 0


class Stream:
    """A CUDA stream of its own: what is put on it runs in order, beside other streams."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._stream = check_cuda(runtime, runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking))

    @property
    def handle(self) -> int:
        return int(self._stream)

    def copy_in(self, memory: Memory, size: int) -> None:
        """From the pinned memory to the device; returns at once."""
        self._copy(memory.device, memory.host_address, size, self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def copy_out(self, memory: Memory, size: int) -> None:
        """From the device to the pinned memory; returns at once."""
        self._copy(memory.host_address, memory.device, size, self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def _copy(self, to: int, source: int, size: int, kind: Any) -> None:
        check_cuda(self._runtime, self._runtime.cudaMemcpyAsync(to, source, size, kind, self._stream))

    def wait(self) -> None:
        """Returns when all that was put on the stream is done; raises CudaError when any of it failed."""
        check_cuda(self._runtime, self._runtime.cudaStreamSynchronize(self._stream))

    def captured(self, run: Callable[[], None]) -> Graph | None:
        """What `run` puts on the stream as a graph, without running it; None where it cannot be captured."""
        # of this thread alone: decoding threads may call CUDA meanwhile
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check_cuda(self._runtime, self._runtime.cudaStreamBeginCapture(self._stream, mode))
        try:
            run()
        except RuntimeError:
            # the stream must leave the capture, or nothing runs on it any more
            with contextlib.suppress(CudaError):
                check_cuda(self._runtime, self._runtime.cudaStreamEndCapture(self._stream))
            self._runtime.cudaGetLastError()
            return None
        try:
            graph = check_cuda(self._runtime, self._runtime.cudaStreamEndCapture(self._stream))
            return Graph(self._runtime, graph)
        except CudaError:
            self._runtime.cudaGetLastError()
            return None

    def launch(self, graph: Graph) -> None:
        """Puts a captured graph on the stream."""
        check_cuda(self._runtime, self._runtime.cudaGraphLaunch(graph.executable, self._stream))

    def close(self) -> None:
        check_cuda(self._runtime, self._runtime.cudaStreamDestroy(self._stream))


class Graph:
    """A captured piece of work, launched as one."""

    def __init__(self, runtime: Any, graph: Any) -> None:
        self._runtime = runtime
        try:
            self.executable = check_cuda(runtime, runtime.cudaGraphInstantiate(graph, 0))
        finally:
            check_cuda(runtime, runtime.cudaGraphDestroy(graph))

    def close(self) -> None:
        check_cuda(self._runtime, self._runtime.cudaGraphExecDestroy(self.executable))
