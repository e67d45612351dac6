"""What `hardedge triton` writes beside each version of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from hardedge.contracts.base import Count, Length, Manifest
from hardedge.contracts.sizes import Profile, _require_profiles


@dataclass(frozen=True, kw_only=True)
class ServedModel(Manifest):
    """One version of a model in a Triton repository: which file of which bundle or engine it is; made from the bundle.

    `max_batch_size` is Triton's, 0 where the batch is a fixed dimension.
    """

    FILE: ClassVar[str] = "served.json"
    SCHEMA: ClassVar[str] = "hardedge.served/1"
    MADE_BY: ClassVar[str] = "hardedge triton"

    name: str
    version: Count
    platform: Literal["onnxruntime_onnx", "tensorrt_plan"]
    source: str
    precision: str
    max_batch_size: Length
    profiles: tuple[Profile, ...]

    def __post_init__(self) -> None:
        _require_profiles(self.profiles)
