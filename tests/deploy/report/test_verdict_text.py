"""The verdict's sentences: a pass hides nothing that was not run, and what is open says what would decide it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import click
import pytest

from hardedge.cli.parts import coloured
from hardedge.contracts import EngineSummary, Gate, Report
from hardedge.deploy.report.findings import finding_of_gates
from hardedge.deploy.report.terminal import summary_text
from hardedge.deploy.report.verdict_text import verdict_sentences

_spec = importlib.util.spec_from_file_location("example_report", Path(__file__).parent / "example_report.py")
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)
GOLDEN = Gate(
    name="golden images", limit="all pixels", found="onnxruntime:cpu fp32: 100.000% on 8 images", status="pass"
)


def engine(target: str, not_run: str | None = None, precision: str = "fp32") -> EngineSummary:
    return EngineSummary(
        target=target,
        precision=precision,
        builder="b",
        builder_version="1",
        bytes=1,
        sha256="",
        seconds=0.0,
        not_run=not_run,
    )


def report(**changes: object) -> Report:
    made: Report = replace(
        _made.example(),
        verdict="pass",
        parity=(_made.parity("onnxruntime:cpu", "fp32", 0.0, "pass"),),
        latency=(),
        engines=(engine("onnxruntime:cpu"),),
        gates=(),
        **changes,
    )
    return made


def test_a_pass_says_where_and_what_was_not_run() -> None:
    assert verdict_sentences(report()) == ["PASS: safe to ship on onnxruntime:cpu."]
    others = [engine(f"tensorrt-rtx:sm{n}", "no such GPU") for n in (75, 80, 86, 89, 120, 121)]
    said = verdict_sentences(replace(report(), engines=(engine("onnxruntime:cpu"), *others)))
    assert said[0] == "PASS: safe to ship on onnxruntime:cpu."
    assert said[1].startswith("Six engines built for other devices, not run here: tensorrt-rtx:sm75, tensorrt-rtx:sm80")
    (_, one) = verdict_sentences(replace(report(), engines=(*report().engines, engine("tensorrt", "x", "int8"))))
    assert one == "One engine built for another device, not run here: tensorrt in int8."
    # reports of earlier versions do not say why an engine did not run
    (_, silent) = verdict_sentences(replace(report(), engines=(*report().engines, engine("tensorrt"))))
    assert silent == "One engine built for another device, not run here: tensorrt."
    assert verdict_sentences(replace(report(), warnings=("a", "b")))[0].endswith("Look at 2 warnings first.")


def test_without_test_images_it_says_what_was_compared_and_what_decides() -> None:
    found = replace(report(), verdict="inconclusive", parity=(), gates=(GOLDEN,))
    said = verdict_sentences(found)
    assert said[0].startswith("INCONCLUSIVE: nothing failed, but not everything was decided. ")
    assert said[0].endswith("asks not compared with the reference's.")
    assert said[1] == "Compared: the golden images of the bundle, onnxruntime:cpu fp32: 100.000% on 8 images (pass)."
    assert said[2:] == ["To decide: give the test images: hardedge verify BUNDLE ENGINE ... --data DATA --out REPORT"]
    page = finding_of_gates(found)
    assert "No limit was asked for. 1 of 1 checks that always run hold." in page
    assert "limits that were asked for hold" not in page


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"parity": (_made.parity("onnxruntime:cpu", "fp32", 0.1, "inconclusive"),)}, "add test images"),
        ({"gates": (Gate(name="--max-overhead", limit="1", found="x", status="inconclusive"),)}, "--latency 2m"),
        (
            {
                "gates": (
                    Gate(name="--max-miou-drop", limit="1", found="tensorrt: not run here: x", status="inconclusive"),
                )
            },
            "on the device that an engine is for: hardedge verify",
        ),
        ({"broken_off": ("tensorrt: out of memory",)}, "run the same command again"),
    ],
)
def test_what_is_open_says_what_decides_it(changes: dict[str, object], command: str) -> None:
    *_, last = verdict_sentences(replace(report(), verdict="inconclusive", **changes))
    assert last.startswith("To decide: ")
    assert command in last


def test_the_terminal_begins_with_it_in_colour(tmp_path: Path) -> None:
    text = summary_text(report(), tmp_path)
    assert text.splitlines()[1] == "PASS: safe to ship on onnxruntime:cpu."
    for word, colour in (("PASS", "green"), ("FAIL", "red"), ("INCONCLUSIVE", "yellow")):
        assert coloured(f"\n{word}: x\n{word[1:]}") == f"\n{click.style(word, fg=colour, bold=True)}: x\n{word[1:]}"
