"""Engines that onnxruntime runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardedge.contracts import Profile
from hardedge.data.decoding import Pixels
from hardedge.deploy.onnxruntime.session import onnxruntime_session
from hardedge.deploy.runner import WITHIN_PROFILE, Layer, Parts, shape_text
from hardedge.errors import BadInput, HardedgeError, Unavailable, first_line

# what onnxruntime writes of a lost device and of memory that is short: no fault of the images
_DEVICE = ("CUDA", "CUDNN", "CUBLAS", "Failed to allocate memory", "bad_alloc", "BFCArena")


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

    def layers(self) -> list[Layer]:
        return []

    def close(self) -> None:
        self._session = None


def _not_run(images_BHWC: Pixels, reason: str) -> HardedgeError:
    if any(sign in reason for sign in _DEVICE):
        return Unavailable(f"the device failed ({reason}). Check it with hardedge doctor, free memory, run it again.")
    return BadInput(f"images of {shape_text(images_BHWC)} do not run ({reason}). {WITHIN_PROFILE}")
