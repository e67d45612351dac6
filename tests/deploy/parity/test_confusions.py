"""Sparse confusions: the dense counts again, refused where they do not fit them, kept in counts.npz."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import seal
from hardedge.deploy.parity.confusions import Confusions, confusion_fault, sparse_confusions
from hardedge.deploy.parity.image_counts import FILE, read_counts, write_counts
from hardedge.deploy.report.confusion_map import images_of_pairs, order_by_confusion, pairs_by_pixels
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput
from hardedge.metrics import Counts, hit_labelled_predicted


def drawn_counts(images: int = 7, classes: int = 5) -> Counts:
    rng = np.random.default_rng(2)
    counts_NCC = rng.integers(1, 90, (images, classes, classes)) * (rng.random((images, classes, classes)) < 0.3)
    counts_NCC[2] = 0
    return counts_NCC.astype(np.int64)


def dense(found: Confusions, classes: int) -> Counts:
    counts_NCC = np.zeros((len(found.starts_N1) - 1, classes, classes), np.int64)
    for image in range(len(counts_NCC)):
        for place in range(found.starts_N1[image], found.starts_N1[image + 1]):
            label, predicted = found.pairs_K2[place]
            counts_NCC[image, label, predicted] += found.pixels_K[place]
    return counts_NCC


def test_they_are_the_dense_counts_off_the_diagonal() -> None:
    counts_NCC = drawn_counts()
    found = sparse_confusions(counts_NCC)
    wrong_NCC = counts_NCC * ~np.eye(5, dtype=bool)
    assert np.array_equal(dense(found, 5), wrong_NCC)
    assert np.array_equal(found.total(5), wrong_NCC.sum(0))
    assert confusion_fault(found, hit_labelled_predicted(counts_NCC)) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda it: replace(it, starts_N1=it.starts_N1[:-1]), "of other images"),
        (lambda it: replace(it, starts_N1=it.starts_N1[::-1].copy()), "out of order"),
        (lambda it: replace(it, pairs_K2=it.pairs_K2 * 0), "a confusion that is none"),
        (lambda it: replace(it, pairs_K2=it.pairs_K2[:, ::-1]), "do not add up"),
        (lambda it: replace(it, pixels_K=-it.pixels_K), "a confusion that is none"),
        (lambda it: replace(it, pixels_K=it.pixels_K + 1), "do not add up"),
    ],
)
def test_others_are_refused(change: Callable[[Confusions], Confusions], fault: str) -> None:
    counts_NCC = drawn_counts()
    found = confusion_fault(change(sparse_confusions(counts_NCC)), hit_labelled_predicted(counts_NCC))
    assert found is not None
    assert fault in found


def test_pairs_by_pixels_and_their_images_against_loops() -> None:
    counts_NCC = drawn_counts(images=9)
    found = sparse_confusions(counts_NCC)
    pairs_P3 = pairs_by_pixels(found, 5)
    total_CC = found.total(5)
    assert [total_CC[label, predicted] for label, predicted, _ in pairs_P3] == pairs_P3[:, 2].tolist()
    assert pairs_P3[:, 2].tolist() == sorted(total_CC[total_CC > 0].tolist(), reverse=True)
    for (label, predicted, _), images in zip(pairs_P3, images_of_pairs(found, pairs_P3), strict=True):
        pixels_N = counts_NCC[:, label, predicted]
        assert images == [image for image in np.argsort(-pixels_N, kind="stable").tolist() if pixels_N[image]][:5]


def test_confused_classes_come_side_by_side() -> None:
    parts_C3 = np.full((5, 3), 100)
    order = order_by_confusion(parts_C3, np.array([[0, 3, 40], [3, 0, 20], [4, 1, 30], [3, 4, 5]]))
    assert sorted(order) == [0, 1, 2, 3, 4]
    places = [order.index(index) for index in (0, 3, 4, 1)]
    assert places in ([0, 1, 2, 3], [1, 2, 3, 4], [3, 2, 1, 0], [4, 3, 2, 1])


def test_a_report_keeps_them_and_one_without_them_reads(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    report = verify(shared_bundle, [shared_engine], shared_data, out, gates=Gates(), latency_seconds=0)
    counts = read_counts(out, report)
    assert counts.reference_confusions is not None
    (engine,) = counts.engine_confusions
    # an engine that gives the reference's masks
    assert np.array_equal(dense(engine, 3), dense(counts.reference_confusions, 3))
    without = replace(counts, reference_confusions=None, engine_confusions=())
    write_counts(without, out)
    read = read_counts(out, seal(out, report))  # as earlier versions wrote it
    assert (read.reference_confusions, read.engine_confusions) == (None, ())
    assert np.array_equal(read.reference_NC3, counts.reference_NC3)
    bad = Confusions(engine.starts_N1 + 1, engine.pairs_K2, engine.pixels_K)
    write_counts(replace(counts, engine_confusions=(bad,)), out)
    with pytest.raises(BadInput, match=f"{FILE}: confusions out of order"):
        read_counts(out, seal(out, report))
