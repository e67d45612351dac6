"""A report as a run writes it, and two test images for its pictures; all numbers are invented."""

from dataclasses import replace

import numpy as np

from hardedge.contracts import (
    Certificate,
    Check,
    ClassInfo,
    ClassParity,
    ComparedRun,
    Comparison,
    Complexity,
    EngineArms,
    EngineSummary,
    Gate,
    HardnessDecile,
    Interval,
    Latency,
    LatencyComparison,
    LatencyPair,
    Level0,
    Level1,
    Level2,
    NetworkSpec,
    Overhead,
    Parity,
    PrecisionAudit,
    ReferenceImage,
    Report,
    SegmentationScore,
    StablePixels,
    Task,
)
from hardedge.deploy.parity.compare import TestImage
from hardedge.deploy.parity.confusions import sparse_confusions
from hardedge.deploy.parity.image_counts import ImageCounts
from hardedge.deploy.report.gallery import Gallery, Shot
from hardedge.deploy.report.pictures import SamplePictures
from hardedge.metrics import hit_labelled_predicted
from hardedge.statistics.two_runs import real_differences

CLASSES = (
    ("sky", (128, 128, 128)),
    ("building", (128, 0, 0)),
    ("pole", (192, 192, 128)),
    ("road", (128, 64, 128)),
    ("pavement", (60, 40, 222)),
    ("tree", (128, 128, 0)),
    ("sign", (192, 128, 128)),
    ("fence", (64, 64, 128)),
    ("car", (64, 0, 128)),
    ("person", (64, 64, 0)),
    ("bicycle", (0, 128, 192)),
)
TASK = Task(classes=tuple(ClassInfo(name=name, color=color) for name, color in CLASSES), ignore_index=255)
PERCENT = (93.1, 84.2, 31.4, 95.0, 82.7, 76.9, 41.3, 38.8, 84.6, 51.9, None)
IOU = {name: percent for (name, _), percent in zip(CLASSES, PERCENT, strict=True)}
CENSUS = Complexity(
    parameters=3_218_478,
    multiply_adds=2_093_117_440,
    nodes=217,
    operators={"Conv": 62, "HardSwish": 21, "Relu": 17, "Add": 10, "Mul": 9, "Resize": 3, "ArgMax": 1},
    inputs=("image uint8 [B,H,W,3]",),
    outputs=("mask uint8 [B,H,W]",),
)


def comparison(arm: str, ratio: float, half: float, status: str) -> LatencyComparison:
    interval = Interval(low=ratio - half, high=ratio + half, confidence=90.0)
    decide = 1840 if status == "inconclusive" else None
    return LatencyComparison(
        arm=arm,
        ratio=ratio,
        interval=interval,
        status=status,
        detail="",
        sessions=5,
        blocks=312,
        blocks_to_decide=decide,
    )


def certificate() -> Certificate:
    targets = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
    plans = [f"{index + 2:02x}9af3c1" * 8 for index in range(6)]
    arms = [EngineArms(target=f"tensorrt-rtx:{t}", shipped=p, plain=p) for t, p in zip(targets, plans, strict=True)]
    return Certificate(
        level0=Level0(
            status="identical",
            detail="",
            shipped_digest="3be1c80f" * 8,
            plain_digest="3be1c80f" * 8,
            rtx_engines=Check(status="identical", detail="Compiled with TensorRT-RTX 1.7.1."),
            engines=tuple(arms),
        ),
        level1=Level1(status="identical", detail="", shipped=CENSUS, plain=CENSUS),
        level2=Level2(
            status="implied",
            detail="Implied by level 0: both arms are the same bytes.",
            noise_floor=comparison("A/A", 1.003, 0.013, "inconclusive"),
            control=comparison("with a faithful branch", 1.384, 0.021, "different"),
            shipped=None,
        ),
    )


def parity(target: str, precision: str, loss: float, status: str) -> Parity:
    classes = [
        ClassParity(
            name=name,
            reference=iou,
            target=None if iou is None else iou - loss * (1 + index % 3),
            pixel_agreement=None if iou is None else 0.9999 - 0.003 * loss * index,
            p_worse=None if iou is None else min(1.0, 0.2 * (index + 1)),
        )
        for index, (name, iou) in enumerate(IOU.items())
    ]
    return Parity(
        target=target,
        precision=precision,
        images=233,
        miou_reference=67.99,
        miou=67.99 - loss,
        difference=-loss,
        interval=Interval(low=-loss - 0.02, high=-loss + 0.01, confidence=90.0),
        margin=0.1,
        status=status,
        detail="",
        pixel_agreement=0.99987 - 0.01 * loss,
        boundary_agreement=0.99812 - 0.02 * loss,
        golden_agreement=1.0,
        per_class=tuple(classes),
        deciles=tuple(decile(index) for index in range(10)),
        stable=StablePixels(logit_error=0.012, images=64, pixels=10**7, share=0.9731, flips=17, changed=1321),
    )


def decile(index: int) -> HardnessDecile:
    return HardnessDecile(
        low=25 * index,
        high=25 * index + 24,
        pixels=100_000 - index,
        agreement=1 - 1e-5 * index,
        accuracy_reference=1 - 0.03 * index,
        accuracy=1 - 0.0301 * index,
    )


def latency(target: str, scale: float) -> Latency:
    samples = scale * (1 + np.random.default_rng(3).gamma(1.6, 0.03, 900))
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    values = tuple(float(value) for value in samples)
    return Latency(
        target=target, precision="fp32", size=(360, 480), runs=900, p50=p50, p90=p90, p99=p99, samples=values
    )


def engine(target: str, size: int, builder: str) -> EngineSummary:
    return EngineSummary(
        target=target,
        precision="fp32",
        builder=builder,
        builder_version="1.7.1" if "RTX" in builder else "1.31.0",
        bytes=size,
        sha256="77ac40d2" * 8,
        seconds=0.61,
    )


def example() -> Report:
    """A report as a run writes it; all its numbers are invented."""
    gates = (
        Gate(name="--max-miou-drop", limit="at most 0.1 points", found="lower bound −0.03 points", status="pass"),
        Gate(name="--max-overhead", limit="at most 1 %", found="implied by level 0", status="pass"),
        Gate(name="--require", limit="level0-engines", found="identical", status="pass"),
    )
    return Report(
        schema_id=Report.SCHEMA,
        hardedge="0.1.0",
        made_from="c04f5e11" * 8,
        files={},
        verdict="pass",
        task=TASK,
        network=NetworkSpec(name="lraspp_mobilenet_v3_large", num_classes=11),
        loss="1.0*hardness",
        branches=("hardness:faithful",),
        hardness="branch",
        metrics=SegmentationScore(miou=67.99, per_class=IOU),
        certificate=certificate(),
        parity=(parity("onnxruntime:cpu", "fp32", 0.004, "pass"),),
        overhead=Overhead(ratio=None, interval=None, status="implied", detail="level 0 is identical"),
        latency=(latency("onnxruntime:cpu", 31.0),),
        engines=(
            engine("onnxruntime:cpu", 12_940_113, "onnxruntime"),
            engine("tensorrt-rtx:sm86", 13_777_204, "TensorRT-RTX"),
            engine("tensorrt-rtx:sm120", 13_790_052, "TensorRT-RTX"),
        ),
        audits=(
            PrecisionAudit(
                target="tensorrt",
                precision="int8",
                source="engine",
                detail="read from the engine's layers",
                multiply_adds={"int8": 0.93, "fp16": 0.07},
                bytes={"int8": 0.9, "fp32": 0.1},
                reformats=4,
                layers=61,
            ),
        ),
        gates=gates,
        data="camvid",
        machine={"cpu": "2 cores of an x86-64 server", "python": "3.11.9", "onnxruntime": "1.31.0", "gpu": "none"},
        created="2026-11-21T03:10:00+00:00",
    )


def samples() -> list[SamplePictures]:
    rng = np.random.default_rng(5)
    truth_HW = np.sort(rng.integers(0, 11, (48, 64), np.uint8), axis=0)
    truth_HW[:3] = 255
    prediction_HW = np.where(rng.random((48, 64)) < 0.1, 3, np.where(truth_HW == 255, 0, truth_HW)).astype(np.uint8)
    image_HWC, hardness_HW = rng.integers(0, 256, (48, 64, 3), np.uint8), rng.integers(0, 256, (48, 64), np.uint8)
    return [
        SamplePictures("scene001", image_HWC, truth_HW, prediction_HW, hardness_HW, truth_HW, hardness_HW > 30),
        SamplePictures("scene002", image_HWC, truth_HW, prediction_HW, None, truth_HW, None),
    ]


def two_runs() -> Comparison:
    """Two runs over 30 images, of which the second loses a class, with engines and latencies."""
    rng = np.random.default_rng(4)
    labelled_NC = rng.integers(200, 400, (30, 11))
    hit_NC = rng.binomial(labelled_NC, 0.7)
    lost_NC = rng.binomial(hit_NC, [1, 1, 0.8, *[0.99] * 8])
    a_NC3, b_NC3 = (np.stack((hit, labelled_NC, labelled_NC), axis=-1) for hit in (hit_NC, lost_NC))
    side = ComparedRun(
        directory="runs/hardness/report",
        digest="c04f5e11" * 8,
        made_from="3be1c80f" * 8,
        verdict="pass",
        network="lraspp_mobilenet_v3_large",
        loss="1.0*hardness",
        branches=("hardness:faithful",),
        data="camvid",
        machine=example().machine,
        created="2026-11-21T03:10:00+00:00",
        hardedge="0.1.0",
    )
    names = [name for name, _ in CLASSES]
    arms = [("reference run", "reference run"), ("onnxruntime:cpu fp32", "tensorrt fp16")]
    pair = LatencyPair(a="tensorrt fp16", b="tensorrt fp16", p50_a=3.1, p50_b=3.3, change=6.5, detail="not interleaved")
    return Comparison(
        a=side,
        b=replace(side, loss="ce", verdict="inconclusive"),
        classes=TASK.classes,
        images=30,
        left_out=3,
        engines=tuple(real_differences(a_NC3, b_NC3, names, each) for each in arms),
        unpaired=("tensorrt int8 of B",),
        latency=(pair, replace(pair, change=None, detail="not comparable: gpu one and another")),
        created="2026-11-21T04:00:00+00:00",
    )


def counts_of(counts_NCC: np.ndarray, *, recorded: bool = True) -> ImageCounts:
    """As counts.npz has them, of images scene0, scene1, ... and an engine that gives the reference's masks."""
    images = tuple(
        ReferenceImage(id=f"scene{index}", image_sha256="0" * 64, label_sha256="0" * 64)
        for index in range(len(counts_NCC))
    )
    parts, found = hit_labelled_predicted(counts_NCC), sparse_confusions(counts_NCC)
    return ImageCounts(images, parts, (parts,), found if recorded else None, (found,) if recorded else ())


def shots(images: int, width: int = 64, height: int = 48) -> list[Shot]:
    """A gallery of drawn images, of which image i has 10 * i wrong pixels and, from the third on, a bicycle."""
    rng = np.random.default_rng(6)
    gallery = Gallery(TASK, images)
    picture_HWC = np.kron(rng.integers(0, 256, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    truth_HW = np.sort(rng.integers(0, 10, (height, width), np.uint8), axis=0)
    for index in range(images):
        label_HW, mask_HW = truth_HW.copy(), truth_HW.copy()
        if index > 1:
            label_HW[-1, -1] = mask_HW[-1, -1] = 10
        wrong = min(10 * index, width * height // 2)
        mask_HW.reshape(-1)[:wrong] = (mask_HW.reshape(-1)[:wrong] + 1) % 10
        gallery.see(TestImage(f"scene{index}", np.roll(picture_HWC, index, 1), label_HW, label_HW, None, {}), mask_HW)
    return gallery.shots
