"""What export writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hardedge.contracts.base import (
    Amount,
    Channels,
    Contract,
    HardnessSource,
    Length,
    Manifest,
    NetworkSpec,
    Normalisation,
    SegmentationScore,
    Task,
)
from hardedge.contracts.models import Calibration, ModelFile, TensorModel
from hardedge.contracts.sizes import Profile, _require_profiles
from hardedge.errors import BadInput
from hardedge.names import require_id, require_path
from hardedge.precisions import precision_named


@dataclass(frozen=True, kw_only=True)
class ReferenceImage(Contract):
    """A test image by id, with the sha256 of its image file and its label file as the reference run read them."""

    id: str
    image_sha256: str
    label_sha256: str

    def __post_init__(self) -> None:
        require_id("reference image", self.id)


@dataclass(frozen=True, kw_only=True)
class Reference(Contract):
    """The torch network's result on the test split, in split order.

    `reference/masks/ID.png` holds each mask, `reference/confusion.npz` the counts int64 [N, C, C] under `counts`,
    `reference/hardness/ID.png` the hardness map.
    """

    split: str
    images: tuple[ReferenceImage, ...]
    score: SegmentationScore


@dataclass(frozen=True, kw_only=True)
class Bundle(Manifest):
    """An exported network with everything that its verification needs.

    `network_size` is the (height, width) that images are resized to inside the graph, null where they are not.
    `channels` is the order that the network takes inside it; the graph's image is RGB, as `normalisation` is.
    """

    FILE: ClassVar[str] = "bundle.json"
    SCHEMA: ClassVar[str] = "hardedge.bundle/2"
    MADE_BY: ClassVar[str] = "hardedge export"

    task: Task
    network: NetworkSpec
    normalisation: Normalisation
    profiles: tuple[Profile, ...]
    models: tuple[ModelFile, ...]
    control: str | None
    reference: Reference
    golden: tuple[str, ...]
    hardness: HardnessSource
    loss: str
    branches: tuple[str, ...]
    margin_tolerance: Amount
    logit_difference: Amount
    seconds: dict[str, Amount]
    calibration: Calibration | None = None
    network_size: tuple[Length, Length] | None = None
    tensor: TensorModel | None = None
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        _require_profiles(self.profiles)
        for id in self.golden:
            require_id("golden image", id)
        if self.control is not None:
            require_path("control", self.control)

    @property
    def profile(self) -> Profile:
        """The first profile, at whose typical size multiply-adds are counted."""
        return self.profiles[0]

    def model(self, precision: str) -> ModelFile:
        """The ONNX file of a precision; raises BadInput naming those there are."""
        for model in self.models:
            if model.precision == precision:
                return model
        known = ", ".join(model.precision for model in self.models)
        writer = precision_named(precision).writer
        raise BadInput(f"the bundle has no {precision} model. It has: {known}; {writer} writes it.")
