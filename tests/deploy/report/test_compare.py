"""`hardedge report A B`: what is compared, what is refused, and what the terminal, the JSON and the page say."""

import importlib.util
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardedge.contracts import Comparison, ReferenceImage, Report, parse_json, seal
from hardedge.deploy.parity.image_counts import ImageCounts, write_counts
from hardedge.deploy.report.two_reports import CAVEAT, compare_reports
from hardedge.deploy.report.two_reports_page import comparison_html
from hardedge.deploy.report.two_reports_text import comparison_report_text, p_value_text
from hardedge.errors import BadInput

_spec = importlib.util.spec_from_file_location("example_report", Path(__file__).parent / "example_report.py")
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)

CPU = "onnxruntime:cpu"
CLASSES = len(_made.TASK.classes)
Counts = np.ndarray


def images(count: int, **changed: str) -> tuple[ReferenceImage, ...]:
    """Test images by number; `changed` sets a digest of the second one."""
    made = [ReferenceImage(id=f"im{i:03d}", image_sha256=f"{i:064x}", label_sha256=f"{i:064d}") for i in range(count)]
    return (made[0], replace(made[1], **changed), *made[2:])


def hits(count: int, seed: int, lost: float = 0.0) -> Counts:
    """Pixels hit, labelled and predicted, int64 [N, C, 3], the last class in no label; `lost` of the third's hits."""
    labelled_NC = np.random.default_rng(0).integers(200, 400, (count, CLASSES))
    labelled_NC[:, -1] = 0
    rng = np.random.default_rng(seed)
    hit_NC = rng.binomial(labelled_NC, np.clip(0.7 + rng.normal(0, 0.02, labelled_NC.shape), 0, 1))
    hit_NC[:, 2] = (hit_NC[:, 2] * (1 - lost)).astype(np.int64)
    return np.stack((hit_NC, labelled_NC, labelled_NC), axis=-1)


def written(
    directory: Path, counts: ImageCounts, engines: tuple[str, ...] = ("onnxruntime:cpu",), **fields: Any
) -> Path:
    """A report's directory over these counts, as verify writes it."""
    directory.mkdir(parents=True)
    (base,) = _made.example().parity
    runs = [replace(base, target=name, images=len(c)) for name, c in zip(engines, counts.engines, strict=True)]
    write_counts(counts, directory)
    seal(directory, replace(_made.example(), parity=tuple(runs), **fields))
    return directory


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs on 40 images; in B a tenth of the third class (pole) is lost, in the torch run and in the engine."""
    a_NC3, b_NC3 = hits(40, 1), hits(40, 1, lost=0.1)
    one = written(tmp_path / "one", ImageCounts(images(40), a_NC3, (a_NC3,)))
    other = written(tmp_path / "deployed/report", ImageCounts(images(40), b_NC3, (b_NC3,)), loss="ce", created="later")
    return one, other.parent


def test_only_what_was_fake_is_real(two: tuple[Path, Path]) -> None:
    found = compare_reports(*two)
    assert (found.images, found.left_out, found.unpaired) == (40, 0, ())
    assert [(each.a, each.b, each.images, each.tested) for each in found.engines] == [
        ("reference run", "reference run", 40, 1),
        ("onnxruntime:cpu fp32", "onnxruntime:cpu fp32", 40, 1),
    ]
    for each in found.engines:
        assert [row.status for row in each.per_class] == ["equal"] * 2 + ["worse"] + ["equal"] * 7 + [
            "not in the labels"
        ]
        assert each.miou.status == "worse"
        assert each.miou.difference == pytest.approx(each.per_class[2].difference / 10)
    assert (found.a.loss, found.b.loss, found.b.created) == ("1.0*hardness", "ce", "later")


def test_images_are_matched_by_id_not_by_place(two: tuple[Path, Path], tmp_path: Path) -> None:
    turned_NC3 = hits(40, 1)[::-1]
    turned = written(tmp_path / "turned", ImageCounts(images(40)[::-1], turned_NC3, (turned_NC3,)), loss="ce")
    found = compare_reports(two[0], turned)
    assert {each.miou.status for each in found.engines} == {"equal"}


def changed_task(**changes: Any) -> dict[str, Any]:
    return {"task": replace(_made.TASK, **changes)}


def renamed(*names: str) -> dict[str, Any]:
    infos = [replace(info, name=name) for info, name in zip(_made.TASK.classes, names, strict=False)]
    return changed_task(classes=(*infos, *_made.TASK.classes[len(infos) :]))


REFUSED = [
    (images(40), renamed("heaven"), ["other classes", "one has sky", "other has heaven"]),
    (images(40), renamed("building", "sky"), ["the same names in another order"]),
    (images(40), changed_task(ignore_index=254), ["ignore index 255 and 254"]),
    (images(40, id="im999"), {}, ["1 only in", "one: im001", "other: im999", "39 that are the same: --shared"]),
    (images(40, label_sha256="5" * 64), {}, ["1 with other labels: im001", "--shared"]),
    (images(40, image_sha256="5" * 64), {}, ["1 with another image file: im001", "--shared"]),
    (tuple(replace(image, id=f"x{image.id}") for image in images(40)), {}, ["im000, im001, im002, im003 and 36 more"]),
]


@pytest.mark.parametrize(("tested", "fields", "words"), REFUSED)
def test_other_classes_images_and_labels_are_refused(
    two: tuple[Path, Path], tmp_path: Path, tested: Any, fields: dict[str, Any], words: list[str]
) -> None:
    counts_NC3 = hits(40, 2)
    other = written(tmp_path / "other", ImageCounts(tested, counts_NC3, (counts_NC3,)), **fields)
    with pytest.raises(BadInput) as caught:
        compare_reports(two[0], other)
    assert all(word in str(caught.value) for word in words)
    assert "hardedge verify" in str(caught.value)
    assert ("--shared" in str(caught.value)) == ("--shared" in words[-1])


def test_the_shared_images_alone_when_that_is_asked_for(two: tuple[Path, Path], tmp_path: Path) -> None:
    b_NC3 = hits(40, 1)
    b_NC3[1] //= 2  # what is not the same does not count
    other = written(tmp_path / "other", ImageCounts(images(40, id="im999"), b_NC3, (b_NC3,)), loss="ce")
    found = compare_reports(two[0], other, shared=True)
    assert (found.images, found.left_out) == (39, 2)
    assert {each.miou.status for each in found.engines} == {"equal"}
    assert "39 test images, 2 that are not the same left out" in comparison_report_text(found)
    relabelled = ImageCounts(images(40, label_sha256="5" * 64), b_NC3, (b_NC3,))
    assert compare_reports(two[0], written(tmp_path / "labels", relabelled, loss="ce"), shared=True).left_out == 1
    nothing = written(tmp_path / "nothing", ImageCounts(REFUSED[-1][0], b_NC3, (b_NC3,)))
    with pytest.raises(BadInput, match="were tested on other images"):
        compare_reports(two[0], nothing, shared=True)


def test_one_report_twice_and_reports_without_counts_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one and the same report"):
        compare_reports(two[0], two[0])
    old = tmp_path / "old"
    old.mkdir()
    seal(old, _made.example())
    with pytest.raises(BadInput, match=r"no counts\.npz"):
        compare_reports(two[0], old)
    with pytest.raises(BadInput, match=r"no report\.json"):
        compare_reports(two[0], tmp_path / "nowhere")


def test_engines_that_broke_off_or_stand_alone(two: tuple[Path, Path], tmp_path: Path) -> None:
    all_NC3 = hits(40, 1, lost=0.1)
    names = ("onnxruntime:cpu", "onnxruntime:cpu", "tensorrt")
    counts = ImageCounts(images(40), all_NC3, (all_NC3[:25], all_NC3, all_NC3))
    found = compare_reports(two[0], written(tmp_path / "three", counts, names, loss="ce"))
    assert [each.images for each in found.engines] == [40, 25]
    assert found.unpaired == ("onnxruntime:cpu fp32 (2) of B", "tensorrt fp32 of B")
    alone = written(tmp_path / "alone", ImageCounts(images(40), all_NC3, (all_NC3,)), ("tensorrt",), loss="ce")
    found = compare_reports(two[0], alone)
    assert (found.engines[1].a, found.engines[1].b) == ("onnxruntime:cpu fp32", "tensorrt fp32")
    assert "onnxruntime:cpu fp32 (A) and tensorrt fp32 (B)" in comparison_report_text(found)
    bare = written(tmp_path / "bare", ImageCounts(images(40), all_NC3, ()), (), loss="ce")
    assert [each.a for each in compare_reports(two[0], bare).engines] == ["reference run"]


def test_latencies_are_shown_with_a_caveat_or_not_compared(two: tuple[Path, Path], tmp_path: Path) -> None:
    (found,) = compare_reports(*two).latency
    assert (found.change, found.detail) == (0, CAVEAT)
    base = _made.example()
    slower = replace(base.latency[0], p50=2 * base.latency[0].p50)
    cases = [
        ({"latency": (slower,)}, 100.0, CAVEAT),
        ({"machine": base.machine | {"gpu": "another"}}, None, "not comparable: gpu none and another"),
        ({"latency": (replace(slower, size=(512, 1024)),)}, None, "not comparable: images of 360x480 and 512x1024"),
    ]
    for number, (fields, change, detail) in enumerate(cases):
        counts = ImageCounts(images(40), hits(40, 1), (hits(40, 1),))
        other = written(tmp_path / str(number), counts, loss="ce", **fields)
        (found,) = compare_reports(two[0], other).latency
        assert (found.change, found.detail) == (pytest.approx(change) if change else None, detail)
    assert compare_reports(two[0], written(tmp_path / "untimed", counts, loss="ce", latency=())).latency == ()


def test_the_terminal_says_what_is_real_and_how(two: tuple[Path, Path]) -> None:
    text = comparison_report_text(compare_reports(*two))
    (pole,) = (line for line in text.splitlines() if line.startswith("  pole"))
    assert pole.endswith("WORSE")
    assert "reference run: B is worse in mIoU, pole." in text
    assert "the same numbers as of the reference run" in text
    assert "Holm-corrected over those that were tested of an engine (1, 1)" in text
    assert "not judged" in text
    assert [p_value_text(p) for p in (None, 0.0001, 0.0312)] == ["-", "<0.001", "0.031"]


def test_the_page_has_a_row_for_every_class_of_every_engine(two: tuple[Path, Path]) -> None:
    text = comparison_html(compare_reports(*two))
    assert text.count('data-class="2"') == 2
    assert text.count("worse</span>") == 6  # mIoU in the summary, mIoU and pole in the table, of two runs
    assert "http" not in text.replace("http-equiv", "")


def test_the_command_prints_json_and_writes_a_page(
    two: tuple[Path, Path], tmp_path: Path, hardedge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = hardedge("report", *two, "--json", "--out", tmp_path / "compared")
    assert (done.returncode, done.stderr) == (0, "")
    found = parse_json(Comparison, done.stdout.encode(), "stdout")
    assert found.engines == compare_reports(*two).engines
    assert json.loads((tmp_path / "compared/comparison.json").read_text()) == json.loads(done.stdout)
    assert "<!doctype html>" in (tmp_path / "compared/comparison.html").read_text()
    again = hardedge("report", *two, "--out", tmp_path / "compared")
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert hardedge("report", *two, "--out", tmp_path / "compared", "--force").returncode == 0
    inside = hardedge("report", *two, "--out", two[0], "--force")
    assert inside.returncode == 2
    assert "would replace what is read" in inside.stderr
    assert (two[0] / Report.FILE).is_file()
