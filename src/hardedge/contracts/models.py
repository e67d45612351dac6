"""The ONNX files of a bundle, and how they were converted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardedge.contracts.base import Amount, Contract, Count, Interval, Length, Percent, Points, Share, Verdict
from hardedge.names import require_id, require_path


@dataclass(frozen=True, kw_only=True)
class Complexity(Contract):
    """What a graph is made of: level 1 of the certificate."""

    parameters: Count
    multiply_adds: Count
    nodes: Count
    operators: dict[str, Count]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KeptNode(Contract):
    """A node that a conversion left in a higher precision than was asked for: `source` is its name in model.onnx."""

    node: str
    source: str
    operator: str
    precision: str
    multiply_adds: Count
    why: str


@dataclass(frozen=True, kw_only=True)
class ConversionAgreement(Contract):
    """A converted file in onnxruntime against FP32; mIoU and its difference in percent points.

    Logits are compared on the golden images with model.onnx's (largest and root mean square difference, and the
    largest logit), masks on `images` images of the test split with torch's. `interval` and `status` are Parity's.
    `arithmetic` says what onnxruntime computed in: on a CPU this checks the conversion, not the GPU's arithmetic.
    """

    arithmetic: str
    logit_difference: Amount
    logit_rms: Amount
    logit_largest: Amount
    images: Count
    pixel_agreement: Share
    miou_reference: Percent
    miou: Percent
    difference: Points
    interval: Interval
    margin: Amount
    status: Verdict


@dataclass(frozen=True, kw_only=True)
class EngineCheck(Contract):
    """Whether a target's builder made an engine of a converted file, and if not, why."""

    target: str
    status: Literal["built", "not built", "not run here"]
    detail: str


@dataclass(frozen=True, kw_only=True)
class Conversion(Contract):
    """How a file of another precision was made from model.onnx, and what was measured of it.

    `multiply_adds` are those of the first profile's typical size by the precision that they are computed in.
    """

    tool: str
    multiply_adds: dict[str, Count]
    kept: tuple[KeptNode, ...]
    agreement: ConversionAgreement
    engines: tuple[EngineCheck, ...]
    seconds: Amount


@dataclass(frozen=True, kw_only=True)
class ModelFile(Contract):
    """One ONNX file of a bundle: its precision, canonical digest, census, and for all but FP32 its conversion."""

    path: str
    precision: str
    onnx_digest: str
    census: Complexity
    conversion: Conversion | None = None

    def __post_init__(self) -> None:
        require_path("model", self.path)


@dataclass(frozen=True, kw_only=True)
class CalibrationTile(Contract):
    """A part of a training image, in pixels; its own are in `calibration/NAME.png`."""

    image: str
    top: Length
    left: Length
    height: Length
    width: Length

    def __post_init__(self) -> None:
        require_id("calibration image", self.image)

    @property
    def name(self) -> str:
        return f"{self.image}-y{self.top}-x{self.left}"


@dataclass(frozen=True, kw_only=True)
class Calibration(Contract):
    """The training images that conversions measured ranges on, and how they were chosen.

    Their pixels are in `calibration/ID.png`; where `tiles` are named, those and not the whole images were taken.
    """

    by: Literal["random", "hardness", "stratified"]
    images: tuple[str, ...]
    tiles: tuple[CalibrationTile, ...] = ()

    def __post_init__(self) -> None:
        for id in self.images:
            require_id("calibration image", id)


@dataclass(frozen=True, kw_only=True)
class TensorModel(Contract):
    """The ONNX file for other runtimes: normalised RGB, float32 [B, 3, H, W], to logits float32 [B, C, H, W].

    `logit_difference` is the largest one from torch's on the golden images.
    """

    path: str
    onnx_digest: str
    logit_difference: Amount

    def __post_init__(self) -> None:
        require_path("tensor model", self.path)
