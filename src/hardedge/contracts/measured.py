"""What was measured of engines: parity, latency, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardedge.contracts.base import (
    Amount,
    Byte,
    Contract,
    Count,
    Interval,
    Length,
    Number,
    Percent,
    Points,
    Share,
    Status,
    Verdict,
)
from hardedge.contracts.certificate import LatencyComparison, MachineLoad


@dataclass(frozen=True, kw_only=True)
class ClassParity(Contract):
    """One class's IoU in percent under both arms, with the Holm-corrected p-value of `worse than the margin`.

    IoU is null where no pixel is labelled. `labelled`, `predicted_reference` and `predicted` (by the target) are pixels
    of the test split without its ignored ones; null in reports of earlier versions. `difference` is target minus
    reference in points, `low` its one-sided 95 % lower end, `high` the upper end divided among the classes; `images`
    are those in which the class is labelled, `differing` those of them and others whose counts of it are not equal.
    """

    name: str
    reference: Percent | None
    target: Percent | None
    pixel_agreement: Share | None
    p_worse: Share | None
    labelled: Count | None = None
    predicted_reference: Count | None = None
    predicted: Count | None = None
    difference: Number | None = None
    low: Number | None = None
    high: Number | None = None
    images: Count | None = None
    differing: Count | None = None


@dataclass(frozen=True, kw_only=True)
class ClassDrop(Contract):
    """A class's IoU, target minus reference in percent points, and its one-sided 95 % lower end."""

    name: str
    difference: Points
    low: Number


@dataclass(frozen=True, kw_only=True)
class HardnessDecile(Contract):
    """A tenth of the labelled pixels by stored hardness (low to high, 0-255); shares of its pixels in 0..1."""

    low: Byte
    high: Byte
    pixels: Count
    agreement: Share
    accuracy_reference: Share
    accuracy: Share


@dataclass(frozen=True, kw_only=True)
class StablePixels(Contract):
    """Pixels whose top-2 margin is above twice the largest logit error that was measured, on `images` test images.

    `share` is that of the stable pixels in 0..1, `changed` all pixels whose class is another than the reference's, and
    `flips` those of them that are stable: a measured error is no bound.
    """

    logit_error: Amount
    images: Count
    pixels: Count
    share: Share
    flips: Count
    changed: Count


@dataclass(frozen=True, kw_only=True)
class ScoreIntervals(Contract):
    """Intervals of mIoU and of each class's IoU in percent, over images like the `images` test images.

    Null where these do not tell: a class in fewer than five of them, or a score that is the same whichever are drawn.
    """

    images: Count
    miou: Interval | None
    per_class: dict[str, Interval | None]


@dataclass(frozen=True, kw_only=True)
class Parity(Contract):
    """A target's masks against the reference's on the test split; mIoU and differences in percent points.

    `interval` is the two-sided 90 % interval of (target - reference): its lower end is the one-sided 95 % bound that
    non-inferiority (above -margin) is judged by. `differing` are the images whose mask is another than the reference's,
    `unseen` the most percent of such images that can be of a kind that none of these is (95 %), `worst` the class
    whose interval reaches lowest (null: no class differs), `intervals` those of the target's scores, and `labelled` the
    images with a labelled pixel, which the verdict counts; all five are null in reports of earlier versions. Of an
    engine that failed while it ran, `images` are those before it did, the status is inconclusive, and the golden images
    were not run (null).
    """

    target: str
    precision: str
    images: Count
    miou_reference: Percent
    miou: Percent
    difference: Points
    interval: Interval
    margin: Amount
    status: Verdict
    detail: str
    pixel_agreement: Share
    boundary_agreement: Share
    golden_agreement: Share | None
    per_class: tuple[ClassParity, ...]
    deciles: tuple[HardnessDecile, ...]
    stable: StablePixels | None
    differing: Count | None = None
    unseen: Percent | None = None
    worst: ClassDrop | None = None
    intervals: ScoreIntervals | None = None
    labelled: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Sensors(Contract):
    """What a device's sensors said while it was timed: least and most of the core clock (MHz) and temperature (°C).

    `power` is the mean in watts; null where no sensor answers, and `source` says so. `throttled` are the reasons that
    the driver gave for a lowered clock.
    """

    source: str
    readings: Count
    power: Amount | None
    clock: tuple[Amount, Amount] | None
    temperature: tuple[Number, Number] | None
    throttled: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Timing(Contract):
    """How long one engine's runs took at one image size (height, width): percentiles in milliseconds."""

    target: str
    precision: str
    size: tuple[Length, Length]
    runs: Count
    p50: Amount
    p90: Amount
    p99: Amount

    @property
    def percentiles(self) -> dict[str, float]:
        return {"p50": self.p50, "p90": self.p90, "p99": self.p99}


@dataclass(frozen=True, kw_only=True)
class Latency(Timing):
    """Latency of one target, batch 1.

    `p999` is the 99.9th percentile in milliseconds; null where fewer than 6,636 runs were made, or in earlier reports.
    """

    samples: tuple[Amount, ...]
    sensors: Sensors | None = None
    p999: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class BenchRun(Timing):
    """One engine timed alone: milliseconds of one batch.

    Copies are medians, 0 where nothing is copied to a device. `memory` and `gpu_memory` are the bytes that a process
    that only runs it, and the GPU, hold more than before it was loaded; null where nothing tells. `energy` is in joules
    an image: the mean power of the whole device over the images a second; null without a sensor. `miou` is that of the
    test split, in percent, where it is known. `load` is what other processes took meanwhile; null where nothing tells.
    """

    batch: Length
    images_per_second: Amount
    copy_in: Amount
    compute: Amount
    copy_out: Amount
    memory: Count | None
    gpu_memory: Count | None
    engine_bytes: Count
    energy: Amount | None = None
    sensors: Sensors | None = None
    miou: Percent | None = None
    load: MachineLoad | None = None


@dataclass(frozen=True, kw_only=True)
class Bench(Contract):
    """What `hardedge bench` found: every engine alone, and every other one over the first, interleaved.

    `dominated` are those of lower precision that are neither smaller nor faster than a better one of their target.
    """

    bundle: str
    runs: tuple[BenchRun, ...]
    comparisons: tuple[LatencyComparison, ...]
    machine: dict[str, str]
    created: str
    dominated: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Consistency(Contract):
    """Whether an engine gives an image one mask in every batch, slot and order, and the network's mask at every size.

    `batches` are the (batch, height, width) that were run, `masks` those compared with their image's alone, `changed`
    those that are others, and `agreement` the smallest share of equal pixels in one, 0..1. `margin` is the largest
    top-2 margin of a pixel that changed, in logits of model.onnx, `allowed` what is taken for rounding; both are null
    where nothing changed or no logits are known. `sizes` are the (height, width) at which the engine was compared with
    model.onnx in onnxruntime on the CPU, `clear` the smallest share of equal pixels among the clear ones of a size:
    those whose margin is above the image's median and above `allowed`.
    """

    target: str
    precision: str
    batches: tuple[tuple[Length, Length, Length], ...]
    masks: Count
    changed: Count
    agreement: Share
    margin: Amount | None
    allowed: Amount | None
    slots_status: Verdict
    slots_detail: str
    sizes: tuple[tuple[Length, Length], ...]
    clear: Amount | None
    sizes_status: Verdict
    sizes_detail: str


@dataclass(frozen=True, kw_only=True)
class Overhead(Contract):
    """The ratio that `--max-overhead` is judged by, and its interval; from level 2 of the certificate."""

    ratio: Amount | None
    interval: Interval | None
    status: Status
    detail: str


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
    multiply_adds: dict[str, Share]
    bytes: dict[str, Share]
    reformats: Count
    layers: Count
