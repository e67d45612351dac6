"""Minimums as gates, and warnings, on made-up measurements; the command with data on which they fail."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import pytest

from hardedge.contracts import ClassInfo, ClassParity, Interval, Latency, Parity, Report, Task, load
from hardedge.deploy.verification.gates import Gates, read_gates
from hardedge.deploy.verification.minimums import minimum_gates
from hardedge.deploy.verification.warnings import report_warnings
from hardedge.errors import BadInput
from hardedge.metrics import doubt_of_counts

TASK = Task(
    classes=tuple(ClassInfo(name=name, color=(index, 0, 0)) for index, name in enumerate("abcd")), ignore_index=255
)
# rows are labels: a is found whole, b half, c never; d is in no label
COUNTS = np.array([[[60, 0, 0, 0], [10, 10, 0, 0], [0, 20, 0, 0], [0, 0, 0, 0]]], np.int64)


def of_class(name: str, target: float | None, labelled: int, reference: int, predicted: int) -> ClassParity:
    return ClassParity(
        name=name,
        reference=target,
        target=target,
        pixel_agreement=None,
        p_worse=None,
        labelled=labelled,
        predicted_reference=reference,
        predicted=predicted,
    )


def run(precision: str = "int8", difference: float = 0.0, agreement: float = 1.0) -> Parity:
    classes = (of_class("a", 90.0, 60, 60, 58), of_class("b", 30.0, 20, 20, 20), of_class("d", None, 0, 0, 7))
    return Parity(
        target="onnxruntime:cpu",
        precision=precision,
        images=40,
        miou_reference=60.0,
        miou=60.0,
        difference=difference,
        interval=Interval(low=0.0, high=0.0, confidence=90.0),
        margin=0.5,
        status="pass",
        detail="",
        pixel_agreement=agreement,
        boundary_agreement=1.0,
        golden_agreement=1.0,
        per_class=classes,
        deciles=(),
        stable=None,
    )


@pytest.mark.parametrize(
    ("limits", "status", "said"),
    [
        ((40.0, None, None), "pass", "mIoU 40.00 % (1 of its classes predicted without a label), 40 images"),
        ((40.1, None, None), "fail", "mIoU 40.00 %"),
        ((None, 30.0, None), "pass", "b has 30.00 %, the lowest of 2 labelled classes"),
        ((None, 30.1, None), "fail", "b has 30.00 %"),
        ((None, None, 88.4), "pass", "88.400 % of the pixels are the reference's"),
        ((None, None, 88.5), "fail", "88.400 %"),
    ],
)
def test_minimums(limits: tuple[float | None, float | None, float | None], status: str, said: str) -> None:
    ((_, _, judge),) = minimum_gates(*limits)
    (gate,) = judge([run(agreement=0.884)])
    assert gate.status == status
    assert said in gate.found


def test_what_was_not_measured_or_broke_off_passes_no_minimum() -> None:
    for _, _, judge in minimum_gates(0.0, 0.0, 0.0):
        (nothing,), (broken,) = judge([]), judge([replace(run(), golden_agreement=None, detail="the device was lost")])
        assert (nothing.status, broken.status) == ("inconclusive", "inconclusive")
        assert "the device was lost" in broken.found


def test_minimums_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "gates.toml").write_text("min-miou = 60\nmin-class-iou = 5.5\nmin-pixel-agreement = 99\n")
    assert read_gates(tmp_path / "gates.toml") == Gates(min_miou=60, min_class_iou=5.5, min_pixel_agreement=99)
    (tmp_path / "gates.toml").write_text("min-miou = 101\nmin-clas-iou = 5\n")
    with pytest.raises(BadInput, match=r"min-miou: expected a number of percent, 0 to 100, got 101") as refused:
        read_gates(tmp_path / "gates.toml")
    assert "Did you mean min-class-iou?" in str(refused.value)
    with pytest.raises(BadInput, match="min-miou"):
        Gates(min_miou=float("nan"))


def latency(precision: str, p50: float) -> Latency:
    return Latency(
        target="onnxruntime:cpu", precision=precision, size=(8, 8), runs=9, p50=p50, p90=p50, p99=p50, samples=()
    )


def test_what_should_be_looked_at_is_said() -> None:
    found = report_warnings(
        COUNTS, TASK, [run(difference=8.5, agreement=0.884)], [latency("fp32", 161.0), latency("int8", 1107.0)]
    )
    assert found[0] == "1 of 3 labelled classes at 0 %: c"
    said = "\n".join(found)
    assert "onnxruntime:cpu int8: 88.40 % of the pixels are the reference's, below the 95 %" in said
    assert "7 pixels of d, which neither the labels nor the reference have" in said
    assert "mIoU rises by 8.50 points" in said
    assert "onnxruntime:cpu int8 is slower than fp32: 1107.0 ms against 161.0 ms" in said
    assert len(found) == 5


def test_what_is_as_usual_is_not_warned_of() -> None:
    counts = np.diag([50, 30, 20, 0])[None].astype(np.int64)
    good = replace(run("fp16", 0.9, 0.995), per_class=(of_class("d", None, 0, 5, 7), of_class("a", 9.0, 4, 0, 4)))
    assert report_warnings(counts, TASK, [good], [latency("fp32", 10.0), latency("fp16", 10.4)]) == ()


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([[[60, 0], [40, 0]], [[50, 0], [50, 0]]], "every pixel of every image is predicted as one class"),
        (
            [[[60, 0], [40, 0]], [[0, 50], [0, 50]]],
            "every image is predicted as one class throughout (2 classes in all)",
        ),
        ([[[45, 45], [5, 5]], [[45, 45], [5, 5]]], "near that of naming one class everywhere (45.00 %)"),
        ([[[60, 5], [5, 30]], [[60, 5], [5, 30]]], None),
        ([[[90, 0], [0, 0]], [[80, 0], [0, 0]]], None),
    ],
)
def test_counts_that_show_nothing_learned_are_doubted(images: list[list[list[int]]], said: str | None) -> None:
    found = doubt_of_counts(np.array(images, np.int64))
    assert found is None if said is None else found is not None and said in found


def test_a_command_fails_below_its_minimum(
    shared_data: Path,
    tmp_path: Path,
    color_model: Callable[..., onnx.ModelProto],
    hardedge: Callable[..., CompletedProcess[str]],
) -> None:
    exchanged = np.array([(70, 130, 180), (0, 0, 142), (128, 64, 128)], np.float32)
    onnx.save(color_model(exchanged), tmp_path / "theirs.onnx")
    common = ("--data", shared_data, "--target", "onnxruntime:cpu", "--latency", "0s", "--max-unseen", "40")
    done = hardedge("deploy", tmp_path / "theirs.onnx", "--out", tmp_path / "out", *common, "--min-class-iou", "50")
    assert done.returncode == 1, done.stderr
    report = load(Report, tmp_path / "out/report")
    assert report.warnings
    assert report.warnings[0].startswith("2 of 3 labelled classes at 0 %: road")
    (gate,) = [gate for gate in report.gates if gate.name == "--min-class-iou"]
    assert gate.status == "fail"
    pages = [(tmp_path / "out/report" / file).read_text() for file in ("junit.xml", "summary.md", "report.html")]
    for text in (done.stdout, *pages):
        assert "--min-class-iou" in text
        assert report.warnings[0] in text
