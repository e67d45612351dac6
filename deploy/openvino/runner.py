"""Engines that OpenVINO runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hardedge.data.decoding import Pixels
from hardedge.deploy.openvino.model import compile_model, layers_of, reason_of
from hardedge.deploy.runner import WITHIN_PROFILE, Layer, Parts, shape_text
from hardedge.errors import BadInput, Unavailable

# what OpenVINO writes of a lost device and of memory that is short: no fault of the images
_DEVICE = ("bad_alloc", "out of memory", "CL_OUT_OF", "CL_DEVICE", "ZE_RESULT", "device lost")


class OpenVinoRunner:
    """An ONNX file compiled by OpenVINO for `cpu`, `gpu` or `npu`; other outputs than the mask are dropped."""

    def __init__(self, onnx: Path, device: str, precision: str, threads: int = 0) -> None:
        self._compiled: Any = compile_model(onnx, device, precision, threads)
        self._request: Any = self._compiled.create_infer_request()

    def masks(self, images_BHWC: Pixels) -> Pixels:
        try:
            outputs = self._request.infer({"image": images_BHWC}, share_inputs=True)
        except RuntimeError as error:
            raise _not_run(images_BHWC, reason_of(error)) from None
        return np.array(outputs["mask"], np.uint8)

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        return map(self.masks, batches)

    def parts(self, images_BHWC: Pixels) -> Parts:
        began = time.perf_counter()
        self.masks(images_BHWC)
        return 0.0, time.perf_counter() - began, 0.0

    def layers(self) -> list[Layer]:
        return layers_of(self._compiled)

    def close(self) -> None:
        self._request = self._compiled = None


def _not_run(images_BHWC: Pixels, reason: str) -> BadInput | Unavailable:
    if any(sign in reason for sign in _DEVICE):
        return Unavailable(f"the device failed ({reason}). Check it with hardedge doctor, free memory, run it again.")
    return BadInput(f"images of {shape_text(images_BHWC)} do not run ({reason}). {WITHIN_PROFILE}")
