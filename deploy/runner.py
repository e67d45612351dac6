"""What runs an engine: images in, masks out, and where a call is spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from hardedge.data.decoding import Pixels

Parts = tuple[float, float, float]
WITHIN_PROFILE = "Use sizes inside the bundle's profile, and a device with free memory."


@dataclass(frozen=True)
class Layer:
    """A layer of a loaded engine: the ONNX nodes that are fused in it, and the precision that it computes in.

    `precision` is None where the engine does not say; `converts` is a layer that only changes types or their order,
    `weighted` one that multiplies with weights and adds.
    """

    nodes: tuple[str, ...]
    precision: str | None
    converts: bool = False
    weighted: bool = False


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

    def layers(self) -> list[Layer]:
        """What the loaded engine says of its layers, for the precision audit; empty where the runtime tells nothing."""
        ...

    def close(self) -> None:
        """Frees what the engine holds."""
        ...


def shape_text(images_BHWC: Pixels) -> str:
    return "x".join(map(str, images_BHWC.shape))
