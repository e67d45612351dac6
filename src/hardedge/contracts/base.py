"""What every contract is, and the manifest at the head of every artefact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Le

from hardedge.names import require_text

Json: TypeAlias = object  # any JSON value
Byte: TypeAlias = Annotated[int, Ge(0), Le(255)]
Count: TypeAlias = Annotated[int, Ge(0), Le(2**63 - 1)]
Integer: TypeAlias = Annotated[int, Ge(-(2**63)), Le(2**63 - 1)]
Length: TypeAlias = Annotated[int, Ge(0), Le(2**31 - 1)]  # of an image, a batch, a number of classes
Number: TypeAlias = Annotated[float, Ge(-1e15), Le(1e15)]
Amount: TypeAlias = Annotated[float, Ge(0), Le(1e15)]
Share: TypeAlias = Annotated[float, Ge(0), Le(1)]
Percent: TypeAlias = Annotated[float, Ge(0), Le(100)]
Points: TypeAlias = Annotated[float, Ge(-100), Le(100)]
Status = Literal["identical", "equivalent", "implied", "different", "inconclusive", "not run here"]
Verdict = Literal["pass", "fail", "inconclusive"]
Channels = Literal["rgb", "bgr"]
HardnessSource = Literal["branch", "confidence", "none"]
ZERO_DIGEST = "0" * 64


class Contract:
    """The base of what is read strictly: a key that the class does not have is an error."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # read by pydantic.TypeAdapter


@dataclass(frozen=True, kw_only=True)
class ClassInfo(Contract):
    """One class: its name and its colour in pictures, RGB 0-255."""

    name: str
    color: tuple[Byte, Byte, Byte]

    def __post_init__(self) -> None:
        require_text("class name", self.name)


@dataclass(frozen=True, kw_only=True)
class Task(Contract):
    """What is segmented: the classes by index, and the label value of pixels that do not count."""

    classes: tuple[ClassInfo, ...]
    ignore_index: Byte

    @property
    def num_classes(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, kw_only=True)
class Normalisation(Contract):
    """Per-channel RGB mean and standard deviation of pixels in 0..1; ImageNet's by default."""

    mean: tuple[Number, Number, Number] = (0.485, 0.456, 0.406)
    std: tuple[Amount, Amount, Amount] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class NetworkSpec(Contract):
    """A network by name (`hardedge.models`, or `package.module:function` of the user's own)."""

    name: str
    num_classes: Length

    def __post_init__(self) -> None:
        require_text("network name", self.name)


@dataclass(frozen=True, kw_only=True)
class SegmentationScore(Contract):
    """mIoU in percent over the classes labelled or predicted, and each class's IoU in percent (null: neither)."""

    miou: Percent
    per_class: dict[str, Percent | None]


@dataclass(frozen=True, kw_only=True)
class Manifest(Contract):
    """The head of every artefact directory: schema id, files with their sha256, the parent's digest, its own digest.

    `digest` is the sha256 of the manifest's own bytes with that field zeroed: integrity, not authenticity.
    """

    FILE: ClassVar[str]
    SCHEMA: ClassVar[str]
    MADE_BY: ClassVar[str]

    schema_id: str
    hardedge: str
    made_from: str | None
    files: dict[str, str]
    digest: str = ZERO_DIGEST

    def _repr_html_(self) -> str:
        from hardedge.contracts.notebook import manifest_html

        return manifest_html(self)


@dataclass(frozen=True, kw_only=True)
class Interval(Contract):
    """A bootstrap interval and its confidence in percent."""

    low: Number
    high: Number
    confidence: Percent
