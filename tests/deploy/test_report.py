"""The report's page: well formed, self-contained, every verdict by word, nothing from the data unescaped."""

import itertools
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import (
    Census,
    Certificate,
    Check,
    ClassInfo,
    ClassParity,
    EngineArms,
    EngineSummary,
    Gate,
    HardnessDecile,
    Interval,
    Latency,
    LatencyComparison,
    Level0,
    Level1,
    Level2,
    NetworkSpec,
    Overhead,
    Parity,
    PrecisionAudit,
    Report,
    SegmentationScore,
    StablePixels,
    Task,
)
from hardedge.deploy.gates import verdict
from hardedge.deploy.report import Sample, html
from hardedge.deploy.report_findings import open_points
from hardedge.deploy.report_markup import VOID

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
CENSUS = Census(
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


def samples() -> list[Sample]:
    rng = np.random.default_rng(5)
    truth_HW = np.sort(rng.integers(0, 11, (48, 64), np.uint8), axis=0)
    truth_HW[:3] = 255
    prediction_HW = np.where(rng.random((48, 64)) < 0.1, 3, np.where(truth_HW == 255, 0, truth_HW)).astype(np.uint8)
    image_HWC, hardness_HW = rng.integers(0, 256, (48, 64, 3), np.uint8), rng.integers(0, 256, (48, 64), np.uint8)
    return [
        Sample("scene001", image_HWC, truth_HW, prediction_HW, hardness_HW, truth_HW, hardness_HW > 30),
        Sample("scene002", image_HWC, truth_HW, prediction_HW, None, truth_HW, None),
    ]


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order; keeps elements, texts and references."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attributes}) == len(attributes), name
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]

    @property
    def text(self) -> str:
        return "".join(self.texts)


def bare() -> Report:
    """A report of a machine where next to nothing could be run."""
    absent = Check(status="not run here", detail="tensorrt_rtx is not installed")
    full = certificate()
    level0 = replace(full.level0, rtx_engines=absent, engines=())
    level2 = Level2(
        status="not run here", detail="--latency-seconds 0 was given", noise_floor=None, control=None, shipped=None
    )
    overhead = Overhead(ratio=None, interval=None, status="not run here", detail="")
    levels = replace(full, level0=level0, level2=level2)
    return replace(
        example(), certificate=levels, parity=(), latency=(), engines=(), gates=(), overhead=overhead, branches=()
    )


@pytest.mark.parametrize("report", [example(), bare()], ids=["full", "bare"])
@pytest.mark.parametrize("shown", [samples(), []], ids=["pictures", "none"])
def test_the_page_is_well_formed_and_asks_for_nothing(report: Report, shown: list[Sample]) -> None:
    text = html(report, shown)
    page = Page(text)
    references = [value for _, found in page.elements for key, value in found.items() if key in ("src", "href")]
    assert references
    assert all(value is not None and value.startswith(("data:", "#")) for value in references)
    assert not page.all("script")
    assert not any(word in text for word in ("http:", "https:", "url(", "@import", "javascript:"))


def test_anchors_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(html(example(), samples()))
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    assert {f"#{id}" for id in ids} >= {found["href"] for found in page.all("a")}


def test_pictures_tables_and_plots_speak_to_a_screen_reader() -> None:
    page = Page(html(example(), samples()))
    assert all(found.get("alt") for found in page.all("img"))
    assert all(found.get("scope") in ("col", "row") for found in page.all("th"))
    assert all(found.get("role") == "img" and found.get("aria-label") for found in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert page.all("html") == [{"lang": "en"}]


@pytest.mark.parametrize(("given", "tone"), [("pass", "good"), ("fail", "bad"), ("inconclusive", "open")])
def test_a_verdict_shows_by_word_and_by_colour(given: str, tone: str) -> None:
    page = Page(html(replace(example(), verdict=given), []))
    assert [found["class"] for found in page.all("div") if "role" in found and found["role"] == "status"] == [
        f"verdict {tone}"
    ]
    assert given.upper() in page.texts
    assert f"{given.upper()}: lraspp_mobilenet_v3_large · camvid" in page.texts


def test_a_failed_report_names_what_failed() -> None:
    gate = Gate(name="--max-miou-drop", limit="at most 0.1 points", found="lower bound −0.33 points", status="fail")
    parities = (parity("onnxruntime:cpu", "fp32", 0.0, "pass"), parity("tensorrt", "fp16", 0.31, "fail"))
    page = Page(html(replace(example(), verdict="fail", gates=(gate,), parity=parities), []))
    reason = (
        "At least one check does not hold: gate --max-miou-drop (at most 0.1 points): lower bound −0.33 points; "
        "mIoU on tensorrt fp16."
    )
    assert reason in page.text
    assert "0 of 1 limits that were asked for hold." in page.text


LEVELS = ("identical", "different", "not run here")
VERDICTS = ("pass", "fail", "inconclusive", None)


def test_a_verdict_is_never_without_its_reason() -> None:
    for case in itertools.product(LEVELS, LEVELS, LEVELS, VERDICTS, VERDICTS):
        report = judged(*case)
        assert bool(open_points(report)) == (report.verdict != "pass"), case


def judged(graph: str, engines: str, census: str, run: str | None, gate: str | None) -> Report:
    """A report with these statuses and the verdict that deploy gives them."""
    levels = certificate()
    level0 = replace(levels.level0, status=graph, rtx_engines=Check(status=engines, detail=""))
    levels = replace(levels, level0=level0, level1=replace(levels.level1, status=census))
    parities = (parity("onnxruntime:cpu", "fp32", 0.0, run),) if run else ()
    gates = (Gate(name="--require", limit="level0", found="x", status=gate),) if gate else ()
    given = verdict(levels, parities, gates)
    return replace(example(), verdict=given, certificate=levels, parity=parities, gates=gates)


@pytest.mark.parametrize("status", ["identical", "equivalent", "implied", "different", "inconclusive", "not run here"])
def test_every_status_of_every_level_is_written_out(status: str) -> None:
    levels = certificate()
    changed = Certificate(
        level0=replace(levels.level0, status=status, rtx_engines=Check(status=status, detail="Why of the engines")),
        level1=replace(levels.level1, status=status, detail="Why of the census"),
        level2=replace(levels.level2, status=status, detail="Why of the latency"),
    )
    overhead = Overhead(ratio=1.0, interval=None, status=status, detail="")
    page = Page(html(replace(example(), certificate=changed, overhead=overhead, engines=(), parity=()), []))
    # three findings, four in the certificate; its tables add theirs
    assert page.texts.count(f" {status}") >= 7
    for reason in ("Why of the engines", "Why of the census", "Why of the latency"):
        assert reason in page.text


def test_what_was_not_run_is_said_with_its_reason() -> None:
    text = Page(html(bare(), [])).text
    for sentence in (
        "Masks were not compared with the reference's",
        "tensorrt_rtx is not installed",
        "--latency-seconds 0 was given",
        "No positive control was measured.",
        "No gate was asked for.",
        "No target was timed on this machine.",
        "No image was chosen for this report.",
    ):
        assert sentence in text
    assert "tensorrt-rtx:sm86 (fp32): built, not run here." in Page(html(example(), [])).text


def test_a_quiet_machine_and_a_noisy_one_are_told_apart() -> None:
    report = example()
    assert "This machine can see a branch: the positive control came out at +38.40 %" in Page(html(report, [])).text
    control = comparison("with a faithful branch", 1.01, 0.05, "inconclusive")
    levels = replace(report.certificate, level2=replace(report.certificate.level2, control=control))
    assert "too noisy to see a branch" in Page(html(replace(report, certificate=levels), [])).text


def test_hostile_names_stay_text() -> None:
    name = "<script>alert('1')</script>&\"><img src=x>"
    classes = (ClassInfo(name=name, color=(1, 2, 3)), *TASK.classes[1:])
    report = example()
    per_class = (replace(report.parity[0].per_class[0], name=name), *report.parity[0].per_class[1:])
    hostile = replace(
        report,
        task=replace(TASK, classes=classes),
        network=NetworkSpec(name=name, num_classes=11),
        loss=name,
        branches=(name,),
        data=name,
        parity=(replace(report.parity[0], per_class=per_class, detail=name, target=name),),
        latency=(replace(report.latency[0], target=name),),
        gates=(Gate(name=name, limit=name, found=name, status="pass"),),
        machine={name: name},
        created=name,
    )
    page = Page(html(hostile, [replace(samples()[0], id=name)]))
    assert not page.all("script")
    assert all((found["src"] or "").startswith("data:image/") for found in page.all("img"))
    assert page.texts.count(name) >= 12


def test_per_class_numbers_reach_the_table() -> None:
    report = replace(example(), parity=(parity("onnxruntime:cpu", "fp32", 0.31, "fail"),))
    text = Page(html(report, [])).text
    pole = report.parity[0].per_class[2]
    assert f"pole31.40{pole.target:.2f}−0.93" in text
    assert "bicycle–––––not in the labels" in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_opens_it_without_a_complaint(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(example(), samples()), encoding="utf-8")
    arguments = [str(CHROMIUM), *QUIET, "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<img") == 10
    assert "lraspp_mobilenet_v3_large · camvid</h1>" in done.stdout
