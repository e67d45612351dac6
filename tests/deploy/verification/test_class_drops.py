"""The gate on the worst class: every labelled class has to pass, and one in few images is not decided."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import ClassParity, Interval, Parity
from hardedge.deploy.engines.build import build
from hardedge.deploy.verification.class_drops import class_drop_gates
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.statistics.non_inferiority import miou_difference


def of_class(name: str, low: float, high: float, images: int, differing: int = 30) -> ClassParity:
    middle = (low + high) / 2
    return ClassParity(
        name=name,
        reference=50.0,
        target=50.0 + middle,
        pixel_agreement=0.99,
        p_worse=1.0,
        difference=middle,
        low=low,
        high=high,
        images=images,
        differing=differing,
    )


def run(*classes: ClassParity) -> Parity:
    return Parity(
        target="onnxruntime:cpu",
        precision="int8",
        images=200,
        miou_reference=60.0,
        miou=60.0,
        difference=0.0,
        interval=Interval(low=0.0, high=0.0, confidence=90.0),
        margin=0.5,
        status="pass",
        detail="broken off",
        pixel_agreement=1.0,
        boundary_agreement=1.0,
        golden_agreement=1.0,
        per_class=classes,
        deciles=(),
        stable=None,
    )


ROAD = of_class("road", -0.2, 0.1, 200)
ABSENT = ClassParity(name="boat", reference=None, target=None, pixel_agreement=None, p_worse=None)


@pytest.mark.parametrize(
    ("other", "status", "said"),
    [
        (
            of_class("pole", -0.9, 0.5, 29),
            "pass",
            "pole -0.20 points, ends [-0.90, +0.50]; pole is labelled in 29 images",
        ),
        (of_class("pole", -1.1, 0.5, 200), "inconclusive", "pole -0.30 points, ends [-1.10, +0.50]: more images that"),
        (of_class("pole", -3.0, -1.1, 200), "fail", "pole -2.05 points, ends [-3.00, -1.10]"),
        (of_class("pole", -3.0, -1.1, 200, differing=4), "inconclusive", "more images that hold it would decide"),
        (of_class("pole", 0.0, 0.0, 3, differing=0), "inconclusive", "pole is labelled in 3 images: 26 more images"),
        (of_class("pole", -0.1, 0.1, 28), "inconclusive", "pole is labelled in 28 images: 1 more image would"),
        (ABSENT, "pass", "road -0.05 points"),
    ],
)
def test_every_class_has_to_pass(other: ClassParity, status: str, said: str) -> None:
    (gate,) = class_drop_gates(1.0, [run(ROAD, other)])
    assert (gate.name, gate.status) == ("--max-class-drop", status)
    assert said in gate.found


def test_nothing_measured_or_an_older_report_is_not_decided() -> None:
    (gate,) = class_drop_gates(1.0, [])
    assert (gate.status, gate.found[:12]) == ("inconclusive", "not measured")
    older = replace(ROAD, difference=None, low=None, high=None, images=None, differing=None)
    assert class_drop_gates(1.0, [run(older)])[0].status == "inconclusive"
    (gate,) = class_drop_gates(1.0, [replace(run(ROAD), golden_agreement=None)])
    assert gate.status == "inconclusive"


def test_a_rare_class_that_is_lost_fails_where_the_mean_passes() -> None:
    """Of 20 classes one loses a tenth of its pixels to the others: a point of the mean, 10 of its own."""
    rng = np.random.default_rng(0)
    counts = np.zeros((200, 20, 20), np.int64)
    counts[:, range(20), range(20)] = rng.integers(200, 400, (200, 20))
    target = counts.copy()
    lost = rng.binomial(counts[:, 3, 3], 0.1)
    target[:, 3, 3] -= lost
    target[:, 3] += rng.multinomial(lost, np.where(np.arange(20) == 3, 0, 1 / 19))
    found = miou_difference(counts, target, margin=1.5)
    assert found.status == "pass"
    names = [None if each is None else (each.low, each.high, each.images, each.differing) for each in found.classes]
    classes = [of_class(str(index), *ends) for index, ends in enumerate(names) if ends]
    (gate,) = class_drop_gates(5.0, [run(*classes)])
    assert (gate.status, gate.found.split()[2]) == ("fail", "3")


def test_images_without_a_labelled_pixel_are_not_counted() -> None:
    counts = np.zeros((60, 2, 2), np.int64)
    counts[:10] = [[90, 10], [10, 90]]
    found = miou_difference(counts, counts, margin=0.1)
    assert (found.images, found.status) == (10, "inconclusive")
    assert [each and each.images for each in found.classes] == [10, 10]
    with pytest.raises(ValueError, match="no labelled pixel"):
        miou_difference(counts[10:], counts[10:], margin=0.1)


def test_the_command_judges_every_class(shared_bundle: Path, shared_data: Path, tmp_path: Path) -> None:
    build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine")
    gates = Gates(max_class_drop=1.0, max_unseen=40.0)
    report = verify(shared_bundle, [tmp_path / "engine"], shared_data, tmp_path / "out", gates=gates, latency_seconds=0)
    (gate,) = [gate for gate in report.gates if gate.name == "--max-class-drop"]
    assert gate.status == "pass"
    assert report.parity[0].labelled == 6
    assert all(each.images == 6 and each.low == 0 for each in report.parity[0].per_class)
