"""The report's page: well formed, self-contained, every verdict by word, nothing from the data unescaped."""

import base64
import hashlib
import importlib.util
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hardedge.contracts import (
    Certificate,
    Check,
    ClassInfo,
    Gate,
    Interval,
    Level2,
    NetworkSpec,
    Overhead,
    Report,
    ScoreIntervals,
    TrainingCurves,
    parse_json,
    to_json,
)
from hardedge.deploy.report.findings import open_points
from hardedge.deploy.report.html import report_html
from hardedge.deploy.report.page_parts import PageParts
from hardedge.deploy.report.pictures import SamplePictures
from hardedge.deploy.report.verdict_text import verdict_sentences
from hardedge.deploy.verification.gates import overall_verdict
from hardedge.pages.markup import VOID

_spec = importlib.util.spec_from_file_location("example_report", Path(__file__).parent / "example_report.py")
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)
TASK, certificate, comparison, example, parity, samples = (
    getattr(_made, name) for name in ("TASK", "certificate", "comparison", "example", "parity", "samples")
)


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
def test_the_page_is_well_formed_and_asks_for_nothing(report: Report, shown: list[SamplePictures]) -> None:
    text = report_html(report, PageParts(shown))
    page = Page(text)
    references = [value for _, found in page.elements for key, value in found.items() if key in ("src", "href")]
    assert references
    assert all(value is not None and value.startswith(("data:", "#")) for value in references)
    assert page.all("script") == [{}]
    assert not any(word in text for word in ("http:", "https:", "url(", "@import", "javascript:", "eval(", "innerHTML"))


def test_anchors_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(report_html(example(), PageParts(samples())))
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    assert {f"#{id}" for id in ids} >= {found["href"] for found in page.all("a")}


def test_pictures_tables_and_plots_speak_to_a_screen_reader() -> None:
    page = Page(report_html(example(), PageParts(samples())))
    assert all(found.get("alt") for found in page.all("img"))
    assert all(found.get("scope") in ("col", "row") for found in page.all("th"))
    assert all(found.get("role") == "img" and found.get("aria-label") for found in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert page.all("html") == [{"lang": "en"}]


@pytest.mark.parametrize(("given", "tone"), [("pass", "good"), ("fail", "bad"), ("inconclusive", "open")])
def test_a_verdict_shows_by_word_and_by_colour(given: str, tone: str) -> None:
    page = Page(report_html(replace(example(), verdict=given)))
    assert [found["class"] for found in page.all("div") if "role" in found and found["role"] == "status"] == [
        f"verdict {tone}"
    ]
    assert given.upper() in page.texts
    assert f"{given.upper()}: lraspp_mobilenet_v3_large · camvid" in page.texts


def test_a_failed_report_names_what_failed() -> None:
    gate = Gate(name="--max-miou-drop", limit="at most 0.1 points", found="lower bound −0.33 points", status="fail")
    parities = (parity("onnxruntime:cpu", "fp32", 0.0, "pass"), parity("tensorrt", "fp16", 0.31, "fail"))
    page = Page(report_html(replace(example(), verdict="fail", gates=(gate,), parity=parities)))
    reason = (
        "Do not ship this. Gate --max-miou-drop (at most 0.1 points): lower bound −0.33 points; mIoU on tensorrt fp16."
    )
    # above everything: the numbers come after it
    assert page.texts.index(reason) < page.texts.index("Worst class")
    assert "0 of 1 limits that were asked for hold." in page.text


def test_a_pass_says_where_an_engine_is_of_unknown_origin() -> None:
    report = example()
    known = replace(report, engines=report.engines[:1])
    assert verdict_sentences(known) == ["PASS: safe to ship on onnxruntime:cpu."]
    strange = replace(report, engines=(replace(report.engines[0], origin="unknown"),))
    assert verdict_sentences(strange)[1:] == [
        "Of onnxruntime:cpu nobody knows which network was built: only masks were compared."
    ]


def test_an_open_point_has_a_command_that_decides_it() -> None:
    page = Page(report_html(bare()))
    rows = "".join(page.texts).split("Checks", 1)[1]
    assert rows.count("Decided by: hardedge ") >= 3


def test_tiles_have_the_worst_class_and_the_intervals() -> None:
    found = ScoreIntervals(
        images=233,
        miou=Interval(low=65.1, high=70.2, confidence=95.0),
        per_class={"pole": Interval(low=28.0, high=34.5, confidence=95.0), "sky": None},
    )
    texts = Page(report_html(replace(example(), intervals=found))).texts
    place = texts.index("Worst class")
    assert texts[place + 1 : place + 4] == ["31.40\u202f%", "28.00 to 34.50 (95 % interval)", "pole"]
    assert "65.10 to 70.20 (95 % interval)" in texts
    assert "of the reference, on 233 test images" in texts


LEVELS = ("identical", "different", "not run here")
VERDICTS = ("pass", "fail", "inconclusive", None)


def test_a_report_of_an_earlier_version_reads_and_what_it_lacks_is_unknown() -> None:
    document = json.loads(to_json(example()))
    for parity in document["parity"]:
        del parity["differing"], parity["unseen"], parity["worst"], parity["intervals"]
    del document["intervals"]
    for name in ("noise_floor", "control"):
        comparison = document["certificate"]["level2"][name]
        del comparison["processes"], comparison["seed"], comparison["load"]
    read = parse_json(Report, json.dumps(document).encode(), "report.json")
    assert (read.parity[0].differing, read.parity[0].unseen, read.parity[0].worst) == (None, None, None)
    control = read.certificate.level2.control
    assert control is not None
    assert (control.processes, control.seed, control.load) == (None, None, None)


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
    given = overall_verdict(levels, parities, gates)
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
    page = Page(report_html(replace(example(), certificate=changed, overhead=overhead, engines=(), parity=())))
    # three findings, four in the certificate; its tables add theirs
    assert page.texts.count(f" {status}") >= 7
    for reason in ("Why of the engines", "Why of the census", "Why of the latency"):
        assert reason in page.text


def test_what_was_not_run_is_said_with_its_reason() -> None:
    text = Page(report_html(bare())).text
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
    page = Page(report_html(example()))
    place = page.texts.index("tensorrt-rtx:sm86 (fp32)")
    assert page.texts[place + 1] == "built for another device"
    assert page.texts[place + 2].startswith("hardedge verify ")


def test_a_quiet_machine_and_a_noisy_one_are_told_apart() -> None:
    report = example()
    assert "This machine can see a branch: the positive control came out at +38.40 %" in Page(report_html(report)).text
    control = comparison("with a faithful branch", 1.01, 0.05, "inconclusive")
    levels = replace(report.certificate, level2=replace(report.certificate.level2, control=control))
    assert "too noisy to see a branch" in Page(report_html(replace(report, certificate=levels))).text


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
    page = Page(report_html(hostile, PageParts([replace(samples()[0], id=name)])))
    assert page.all("script") == [{}]
    assert all((found["src"] or "").startswith("data:image/") for found in page.all("img"))
    assert page.texts.count(name) >= 12


def test_per_class_numbers_reach_the_table() -> None:
    report = replace(example(), parity=(parity("onnxruntime:cpu", "fp32", 0.31, "fail"),))
    text = Page(report_html(report)).text
    pole = report.parity[0].per_class[2]
    assert f"pole31.40{pole.target:.2f}–−0.93" in text
    assert "bicyclenot in the labels––––––" in text


def test_the_policy_names_the_script_that_is_there() -> None:
    text = report_html(example())
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;" in text


def test_the_training_is_drawn_where_the_bundle_has_it() -> None:
    assert "Not recorded: the bundle has no training.json." in Page(report_html(example())).text
    curves = TrainingCurves(
        steps=(10, 20, 30),
        terms={"loss": (2.0, None, 0.5), "late": (None, None, 0.25)},
        learning_rate=(0.1, 0.05, 0.01),
        evaluated=(20, 30),
        miou=(40.0, 61.5),
    )
    page = Page(report_html(example(), PageParts(training=curves, pareto=b"<svg></svg>")))
    said = {found["aria-label"] for found in page.all("svg")}
    assert {
        "validation mIoU: 40 % at step 20, 61.5 % at step 30",
        "loss: 2 at step 10, 0.5 at step 30",
        "learning rate: 0.1 at step 10, 0.01 at step 30",
    } <= said
    assert not any((label or "").startswith("late") for label in said)  # one point is no curve
    assert any((found["src"] or "").startswith("data:image/svg+xml;base64,") for found in page.all("img"))
