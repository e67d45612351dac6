"""What the stages hand to each other on disk: frozen dataclasses, JSON files, digests."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from hardedge.errors import BadInput, listed

Json: TypeAlias = object  # any JSON value
Status = Literal["identical", "equivalent", "implied", "different", "inconclusive", "not run here"]
Verdict = Literal["pass", "fail", "inconclusive"]
HardnessSource = Literal["branch", "confidence", "none"]

ZERO_DIGEST = "0" * 64
MOST_PIXELS = 1 << 30  # of one batch: no GPU holds the activations of more
_DIGEST_LINE = re.compile(rb'^( "digest": ")[0-9a-f]{64}(")', re.MULTILINE)

T = TypeVar("T")


class Contract:
    """The base of what is read strictly: a key that the class does not have is an error."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # read by pydantic.TypeAdapter


@dataclass(frozen=True, kw_only=True)
class ClassInfo(Contract):
    """One class: its name and its colour in pictures, RGB 0-255."""

    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Task(Contract):
    """What is segmented: the classes by index, and the label value of pixels that do not count."""

    classes: tuple[ClassInfo, ...]
    ignore_index: int

    @property
    def num_classes(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, kw_only=True)
class Normalisation(Contract):
    """Per-channel RGB mean and standard deviation of pixels in 0..1; ImageNet's by default."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class NetworkSpec(Contract):
    """A network by name (`hardedge.models`, or `package.module:function` of the user's own)."""

    name: str
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class SegmentationScore(Contract):
    """mIoU in percent over the classes present in the labels, and each class's IoU in percent (null: not present)."""

    miou: float
    per_class: dict[str, float | None]


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


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Manifest):
    """A trained network. `recipe` is train's own record, read by train alone.

    `inputs` are the digests of the other artefacts that training read, by name.
    """

    FILE: ClassVar[str] = "checkpoint.json"
    SCHEMA: ClassVar[str] = "hardedge.checkpoint/1"
    MADE_BY: ClassVar[str] = "hardedge train"

    task: Task
    network: NetworkSpec
    normalisation: Normalisation
    recipe: dict[str, Json]
    inputs: dict[str, str]
    loss: str
    branches: tuple[str, ...]
    seed: int
    steps: int
    best_step: int
    validation: SegmentationScore
    batchnorm_reestimated: bool
    hardness: HardnessSource
    data: str
    data_digest: str
    torch: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EdgeScore(Contract):
    """F-score of predicted class edges in percent: of each class (null: it has none), and the mean of these."""

    mean_f: float
    per_class: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class EdgeNetworkManifest(Manifest):
    """A network that finds the classes' edges in masks; the loss semeda compares masks in its features."""

    FILE: ClassVar[str] = "edge_network.json"
    SCHEMA: ClassVar[str] = "hardedge.edge-network/1"
    MADE_BY: ClassVar[str] = "hardedge edges"

    task: Task
    seed: int
    steps: int
    validation: EdgeScore
    data: str
    data_digest: str
    torch: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Profile(Contract):
    """One optimisation profile of the image input: (batch, height, width) at least, typically, at most."""

    min: tuple[int, int, int]
    opt: tuple[int, int, int]
    max: tuple[int, int, int]
    name: str = "default"

    def __post_init__(self) -> None:
        bounds = zip(self.min, self.opt, self.max, strict=True)
        if not all(1 <= least <= typical <= most for least, typical, most in bounds):
            raise ValueError("expected 1 <= min <= opt <= max for batch, height and width")
        if math.prod(self.max) > MOST_PIXELS:
            raise ValueError(f"max has {math.prod(self.max)} pixels, more than {MOST_PIXELS}")
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise ValueError(f"name {self.name!r}: expected letters, digits, '.', '_' and '-'")

    def holds(self, size: tuple[int, int, int]) -> bool:
        """Whether (batch, height, width) lies inside."""
        return all(low <= length <= high for low, length, high in zip(self.min, size, self.max, strict=True))

    def __str__(self) -> str:
        least, most = ("x".join(map(str, size)) for size in (self.min, self.max))
        return f"{self.name} {least} to {most}" if least != most else f"{self.name} {least}"


def fitting(profiles: tuple[Profile, ...], size: tuple[int, int, int]) -> int | None:
    """The place of the first profile that holds (batch, height, width); None where none does."""
    return next((place for place, profile in enumerate(profiles) if profile.holds(size)), None)


def profiles_in_words(profiles: tuple[Profile, ...]) -> str:
    """The profiles by name with their sizes: `small 1x64x64 to 4x512x1024; large ...`."""
    return "; ".join(map(str, profiles)) + " (batch x height x width)"


def _require_profiles(profiles: tuple[Profile, ...]) -> None:
    names = [profile.name for profile in profiles]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"profiles: expected one or more, each of its own name, got {', '.join(names) or 'none'}")


@dataclass(frozen=True, kw_only=True)
class Census(Contract):
    """What a graph is made of: level 1 of the certificate."""

    parameters: int
    multiply_adds: int
    nodes: int
    operators: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Interval(Contract):
    """A bootstrap interval and its confidence in percent."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class KeptNode(Contract):
    """A node that a conversion left in a higher precision than was asked for: `source` is its name in model.onnx."""

    node: str
    source: str
    operator: str
    precision: str
    multiply_adds: int
    why: str


@dataclass(frozen=True, kw_only=True)
class ConversionAgreement(Contract):
    """A converted file in onnxruntime against FP32; mIoU and its difference in percent points.

    Logits are compared on the golden images with model.onnx's (largest and root mean square difference, and the
    largest logit), masks on `images` images of the test split with torch's. `interval` and `status` are Parity's.
    `arithmetic` says what onnxruntime computed in: on a CPU this checks the conversion, not the GPU's arithmetic.
    """

    arithmetic: str
    logit_difference: float
    logit_rms: float
    logit_largest: float
    images: int
    pixel_agreement: float
    miou_reference: float
    miou: float
    difference: float
    interval: Interval
    margin: float
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
    multiply_adds: dict[str, int]
    kept: tuple[KeptNode, ...]
    agreement: ConversionAgreement
    engines: tuple[EngineCheck, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ModelFile(Contract):
    """One ONNX file of a bundle: its precision, canonical digest, census, and for all but FP32 its conversion."""

    path: str
    precision: str
    onnx_digest: str
    census: Census
    conversion: Conversion | None = None


@dataclass(frozen=True, kw_only=True)
class CalibrationTile(Contract):
    """A part of a training image, in pixels; its own are in `calibration/NAME.png`."""

    image: str
    top: int
    left: int
    height: int
    width: int

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


@dataclass(frozen=True, kw_only=True)
class TensorModel(Contract):
    """The ONNX file for other runtimes: normalised RGB, float32 [B, 3, H, W], to logits float32 [B, C, H, W].

    `logit_difference` is the largest one from torch's on the golden images.
    """

    path: str
    onnx_digest: str
    logit_difference: float


@dataclass(frozen=True, kw_only=True)
class ReferenceImage(Contract):
    """A test image by id, with the sha256 of its image file and its label file as the reference run read them."""

    id: str
    image_sha256: str
    label_sha256: str


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
    margin_tolerance: float
    logit_difference: float
    seconds: dict[str, float]
    calibration: Calibration | None = None
    network_size: tuple[int, int] | None = None
    tensor: TensorModel | None = None

    def __post_init__(self) -> None:
        _require_profiles(self.profiles)

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
        cure = (
            "hardedge tune writes it" if precision == "mixed" else f"hardedge export --precision {precision} writes it"
        )
        raise BadInput(f"the bundle has no {precision} model. It has: {known}; {cure}.")


@dataclass(frozen=True, kw_only=True)
class Check(Contract):
    """One check's answer, and in words what it rests on (for `not run here`: why)."""

    status: Status
    detail: str


@dataclass(frozen=True, kw_only=True)
class EngineArms(Contract):
    """The sha256 of one target's TensorRT-RTX engine, for the shipped file and for the plain network."""

    target: str
    shipped: str
    plain: str


@dataclass(frozen=True, kw_only=True)
class Level0(Contract):
    """Identity. `status` is that of the ONNX digests; the engines have their own.

    `plain_digest` is null for a network without a checkpoint: there is no plain one to compare with.
    """

    status: Status
    detail: str
    shipped_digest: str
    plain_digest: str | None
    rtx_engines: Check
    engines: tuple[EngineArms, ...]


@dataclass(frozen=True, kw_only=True)
class Level1(Contract):
    """Equal parameters, multiply-adds, nodes, operators, inputs and outputs; `plain` is null without a checkpoint."""

    status: Status
    detail: str
    shipped: Census
    plain: Census | None


@dataclass(frozen=True, kw_only=True)
class LatencyComparison(Contract):
    """The latency of one arm over another's: ratio of medians with its interval, and what follows."""

    arm: str
    ratio: float
    interval: Interval
    status: Status
    detail: str
    sessions: int
    blocks: int
    blocks_to_decide: int | None


@dataclass(frozen=True, kw_only=True)
class Level2(Contract):
    """Latency: implied by level 0, or the equivalence test; the noise floor and the positive control beside it."""

    status: Status
    detail: str
    noise_floor: LatencyComparison | None
    control: LatencyComparison | None
    shipped: LatencyComparison | None


@dataclass(frozen=True, kw_only=True)
class Certificate(Contract):
    """The identity certificate: the shipped file against the plain network built and exported in a new process.

    Export writes levels 0 and 1 to `certificate.json`; deploy measures level 2, so there it is `not run here`.
    """

    FILE: ClassVar[str] = "certificate.json"

    level0: Level0
    level1: Level1
    level2: Level2


@dataclass(frozen=True, kw_only=True)
class BuildOptions(Contract):
    """What a TensorRT builder is told beside the network; None leaves its default.

    Optimisation level 0 to 5, workspace in MiB. `version_compatible` engines run on later versions of the same major,
    `hardware_compatible` ones on every GPU from Ampere on; both are slower. `strip_weights` leaves the weights out of
    the plan: they are read from the ONNX file when it is loaded. `dla` is the DLA core that the network runs on, layer
    by layer on the GPU where it cannot.
    """

    optimization_level: int | None = None
    workspace: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    strip_weights: bool = False
    dla: int | None = None


@dataclass(frozen=True, kw_only=True)
class HealedNode(Contract):
    """A node of the bundle's file that the engine computes in FP32.

    The builder refused it as it was, or its values did not fit its type and came out infinite or NaN (`not finite`).
    """

    node: str
    operator: str
    precision: str
    why: str
    cause: Literal["refused", "not finite"] = "refused"


@dataclass(frozen=True, kw_only=True)
class Engine(Manifest):
    """A compiled network for one target; `weights` is the ONNX file that a plan without weights is refitted from."""

    FILE: ClassVar[str] = "engine.json"
    SCHEMA: ClassVar[str] = "hardedge.engine/2"
    MADE_BY: ClassVar[str] = "hardedge deploy"

    target: str
    precision: str
    plan: str
    onnx_digest: str
    builder: str
    builder_version: str
    profiles: tuple[Profile, ...]
    seconds: float
    options: BuildOptions = BuildOptions()
    healed: tuple[HealedNode, ...] = ()
    weights: str | None = None

    def __post_init__(self) -> None:
        _require_profiles(self.profiles)


@dataclass(frozen=True, kw_only=True)
class ClassParity(Contract):
    """One class's IoU in percent under both arms, with the Holm-corrected p-value of `worse than the margin`."""

    name: str
    reference: float | None
    target: float | None
    pixel_agreement: float | None
    p_worse: float | None


@dataclass(frozen=True, kw_only=True)
class HardnessDecile(Contract):
    """A tenth of the labelled pixels by stored hardness (low to high, 0-255); shares of its pixels in 0..1."""

    low: int
    high: int
    pixels: int
    agreement: float
    accuracy_reference: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class StablePixels(Contract):
    """Pixels whose top-2 margin is above twice the largest logit error that was measured, on `images` test images.

    `share` is that of the stable pixels in 0..1, `changed` all pixels whose class is another than the reference's, and
    `flips` those of them that are stable: a measured error is no bound.
    """

    logit_error: float
    images: int
    pixels: int
    share: float
    flips: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class Parity(Contract):
    """A target's masks against the reference's on the test split; mIoU and differences in percent points.

    `interval` is the two-sided 90 % paired bootstrap of (target - reference): its lower end is the one-sided 95 %
    bound that non-inferiority (above -margin) is judged by. Of an engine that failed while it ran, `images` are those
    before it did, the status is inconclusive, and the golden images were not run (null).
    """

    target: str
    precision: str
    images: int
    miou_reference: float
    miou: float
    difference: float
    interval: Interval
    margin: float
    status: Verdict
    detail: str
    pixel_agreement: float
    boundary_agreement: float
    golden_agreement: float | None
    per_class: tuple[ClassParity, ...]
    deciles: tuple[HardnessDecile, ...]
    stable: StablePixels | None


@dataclass(frozen=True, kw_only=True)
class Sensors(Contract):
    """What a device's sensors said while it was timed: least and most of the core clock (MHz) and temperature (°C).

    `power` is the mean in watts; null where no sensor answers, and `source` says so. `throttled` are the reasons that
    the driver gave for a lowered clock.
    """

    source: str
    readings: int
    power: float | None
    clock: tuple[float, float] | None
    temperature: tuple[float, float] | None
    throttled: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Latency(Contract):
    """Latency of one target in milliseconds, batch 1, at one image size (height, width)."""

    target: str
    precision: str
    size: tuple[int, int]
    runs: int
    p50: float
    p90: float
    p99: float
    samples: tuple[float, ...]
    sensors: Sensors | None = None


@dataclass(frozen=True, kw_only=True)
class BenchRun(Contract):
    """One engine timed alone: milliseconds of one batch at one image size (height, width).

    Copies are medians, 0 where nothing is copied to a device. `memory` and `gpu_memory` are the bytes that the process
    and the GPU hold more than before it was loaded; null where nothing tells. `energy` is in joules an image: the mean
    power of the whole device over the images a second; null without a sensor. `miou` is that of the test split, in
    percent, where it is known.
    """

    target: str
    precision: str
    batch: int
    size: tuple[int, int]
    runs: int
    p50: float
    p90: float
    p99: float
    images_per_second: float
    copy_in: float
    compute: float
    copy_out: float
    memory: int | None
    gpu_memory: int | None
    engine_bytes: int
    energy: float | None = None
    sensors: Sensors | None = None
    miou: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bench(Contract):
    """What `hardedge bench` found: every engine alone, and every other one over the first, interleaved."""

    bundle: str
    runs: tuple[BenchRun, ...]
    comparisons: tuple[LatencyComparison, ...]
    machine: dict[str, str]
    created: str


@dataclass(frozen=True, kw_only=True)
class Overhead(Contract):
    """The ratio that `--max-overhead` is judged by, and its interval; from level 2 of the certificate."""

    ratio: float | None
    interval: Interval | None
    status: Status
    detail: str


@dataclass(frozen=True, kw_only=True)
class Gate(Contract):
    """A limit that the user asked for: what was asked, what was found, and whether it holds."""

    name: str
    limit: str
    found: str
    status: Verdict


@dataclass(frozen=True, kw_only=True)
class EngineSummary(Contract):
    """One engine of a report: its target, size in bytes and digest of the plan."""

    target: str
    precision: str
    builder: str
    builder_version: str
    bytes: int
    sha256: str
    seconds: float
    healed: tuple[HealedNode, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PrecisionAudit(Contract):
    """The shares (0..1) of an engine's multiply-adds and weight bytes by the precision that they are really in.

    `source` is the engine's own layers, or the typed ONNX file where the engine was not loaded. `reformats` are layers
    that only change a type or an order in memory (ONNX: Cast, QuantizeLinear, DequantizeLinear), of `layers` in all.
    """

    target: str
    precision: str
    source: Literal["engine", "onnx"]
    detail: str
    multiply_adds: dict[str, float]
    bytes: dict[str, float]
    reformats: int
    layers: int


@dataclass(frozen=True, kw_only=True)
class Report(Manifest):
    """All verdicts on one bundle.

    `broken_off` are the engines, with the reason, that failed while they ran: what was measured before is here, what
    was to be measured of them after it is not, and the verdict is at best inconclusive.
    """

    FILE: ClassVar[str] = "report.json"
    SCHEMA: ClassVar[str] = "hardedge.report/2"
    MADE_BY: ClassVar[str] = "hardedge deploy"

    verdict: Verdict
    task: Task
    network: NetworkSpec
    loss: str
    branches: tuple[str, ...]
    hardness: HardnessSource
    metrics: SegmentationScore
    certificate: Certificate
    parity: tuple[Parity, ...]
    overhead: Overhead
    latency: tuple[Latency, ...]
    engines: tuple[EngineSummary, ...]
    audits: tuple[PrecisionAudit, ...]
    gates: tuple[Gate, ...]
    data: str
    machine: dict[str, str]
    created: str
    broken_off: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Signature(Contract):
    """A signature (Ed25519) on a manifest, in MANIFEST.sig beside it.

    Signed are these lines: `hardedge.signature/1`, the manifest's schema id, its digest, and `signed`, a time in UTC.
    `public_key` says who claims to have signed, in hexadecimal digits; who is trusted is said elsewhere.
    """

    SCHEMA: ClassVar[str] = "hardedge.signature/1"

    schema_id: str
    manifest_schema: str
    manifest_digest: str
    signed: str
    public_key: str
    signature: str


M = TypeVar("M", bound=Manifest)


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _hash(file)


def _hash(file: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no file_digest
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes to a temporary name, flushes, renames: a killed process leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # half a file would only take space
        raise


def to_json(value: Any) -> str:
    """A contract as indented JSON text."""
    return json.dumps(dataclasses.asdict(value), indent=1, ensure_ascii=False) + "\n"


def read_json(kind: type[T], path: Path) -> T:
    """Reads a contract strictly; raises BadInput naming the file, every faulty key, and what was expected."""
    return parse_json(kind, path.read_bytes(), str(path))


def parse_json(kind: type[T], content: bytes, name: str) -> T:
    """As read_json, from bytes; `name` is what the messages call them."""
    from pydantic import ValidationError

    hashable: Any = kind  # which mypy does not see of a type variable
    try:
        found: T = _adapter(hashable).validate_json(content, strict=True)
    except ValidationError as error:
        faults = [f"{_key(fault['loc'])}: {fault['msg']}, got {_short(fault['input'])}" for fault in error.errors()]
        raise listed(
            f"{name} is not a valid {kind.__name__.lower()}", faults, "Make it again with this version."
        ) from None
    return found


@functools.cache
def _adapter(kind: type) -> Any:
    """pydantic's reader of a contract, which takes some 20 ms to make."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _key(location: tuple[int | str, ...]) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return key.lstrip(".") or "the whole file"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def json_schema(kind: type) -> dict[str, Json]:
    """The JSON Schema of a contract."""
    schema: dict[str, Json] = _adapter(kind).json_schema()
    return schema


def seal(directory: Path, manifest: M) -> M:
    """Writes the manifest into its directory, over every file that is there, and returns it with its digests."""
    beside = (manifest.FILE, f"{manifest.FILE}.sig")  # a signature comes after the manifest that it signs
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name not in beside)
    files = {path.relative_to(directory).as_posix(): sha256_of(path) for path in paths}
    unsealed = dataclasses.replace(manifest, schema_id=manifest.SCHEMA, files=files, digest=ZERO_DIGEST)
    digest = _digest_of_manifest(to_json(unsealed).encode())
    sealed = dataclasses.replace(unsealed, digest=digest)
    write_atomically(directory / manifest.FILE, to_json(sealed).encode())
    return sealed


def load(kind: type[M], directory: Path) -> M:
    """Reads an artefact's manifest and checks its own digest and every file's.

    Raises BadInput when the manifest is missing, of another schema, or altered, and when any file is missing, altered,
    or outside the directory; all faulty files are named together.
    """
    path = directory / kind.FILE
    if not path.is_file():
        raise BadInput(_missing(kind, directory))
    content = path.read_bytes()
    _require_schema(kind, content, path)
    manifest = parse_json(kind, content, str(path))
    if _digest_of_manifest(content) != manifest.digest:
        raise BadInput(f"{path} was changed after it was written: its digest does not fit. Make it again.")
    faults = [fault for name, digest in manifest.files.items() if (fault := _file_fault(directory, name, digest))]
    if faults:
        raise listed(f"{directory} is not what {kind.FILE} describes", faults, "Copy or make it again.")
    return manifest


def _missing(kind: type[Manifest], directory: Path) -> str:
    """What is there in place of the manifest, and what was probably meant."""
    if directory.is_file():
        meant = directory.parent if (directory.parent / kind.FILE).is_file() else f"the directory that has {kind.FILE}"
        return f"{directory} is a file. Give {meant}."
    create = f"Create it with: {kind.MADE_BY} ... --out {directory}"
    if not directory.is_dir():
        return f"{directory} does not exist: no {kind.FILE}. {create}"
    inside = [path.parent for path in sorted(directory.glob(f"*/{kind.FILE}"))]
    if inside:
        return f"{directory} has no {kind.FILE}. Did you mean {' or '.join(map(str, inside[:4]))}?"
    others = [f"{other.FILE} (made by {other.MADE_BY})" for other in Manifest.__subclasses__()]
    there = [told for told in others if (directory / told.partition(" ")[0]).is_file()]
    held = f", but {there[0]}" if there else ""
    return f"{directory} has no {kind.FILE}{held}. {create if not there else f'Give what {kind.MADE_BY} wrote.'}"


def _digest_of_manifest(content: bytes) -> str:
    return hashlib.sha256(_DIGEST_LINE.sub(rb"\g<1>" + ZERO_DIGEST.encode() + rb"\g<2>", content)).hexdigest()


def _require_schema(kind: type[Manifest], content: bytes, path: Path) -> None:
    try:
        found = json.loads(content)["schema_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{path} is not a hardedge manifest: no schema_id in it. Make it again.") from None
    if found != kind.SCHEMA:
        raise BadInput(f"{path}, schema_id: expected {kind.SCHEMA}, got {_short(found)}. Make it again.")


def _file_fault(directory: Path, name: str, digest: str) -> str | None:
    path = directory / name
    try:
        if name.startswith("/") or ".." in Path(name).parts or not path.resolve().is_relative_to(directory.resolve()):
            return f"{name}: outside the directory"
        if not path.is_file():
            return f"{name}: missing"
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a circle
        return f"{_short(name)}: no file name ({error})"
    return None if sha256_of(path) == digest else f"{name}: changed (its sha256 does not fit)"
