"""counts.npz of a report: what the engines hit in every image, and what else is refused in its place."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import Bundle, Report, load, seal
from hardedge.data.decoding import read_mask
from hardedge.data.opening import open_dataset
from hardedge.deploy.parity.image_counts import FILE, read_counts
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput
from hardedge.metrics import iou_of_parts


@pytest.fixture
def report(shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path) -> Path:
    out = tmp_path / "report"
    verify(shared_bundle, [shared_engine], shared_data, out, gates=Gates(), latency_seconds=0)
    return out


def test_a_report_keeps_the_counts_of_every_image(report: Path, shared_bundle: Path, shared_data: Path) -> None:
    found = load(Report, report)
    counts = read_counts(report, found)
    data, bundle = open_dataset(shared_data), load(Bundle, shared_bundle)
    assert counts.images == bundle.reference.images
    for index, image in enumerate(counts.images):
        label_HW, mask_HW = data.mask(image.id), read_mask(shared_bundle / f"reference/masks/{image.id}.png")
        labelled_HW = label_HW != 255
        for number in range(3):
            hit = np.count_nonzero((label_HW == number) & (mask_HW == number))
            labelled, predicted = (np.count_nonzero((it == number) & labelled_HW) for it in (label_HW, mask_HW))
            assert counts.reference_NC3[index, number].tolist() == [hit, labelled, predicted]
    # an engine that gives the reference's masks
    assert len(counts.engines) == 1
    assert np.array_equal(counts.engines[0], counts.reference_NC3)
    assert 100 * iou_of_parts(counts.engines[0].sum(0)).mean() == pytest.approx(found.parity[0].miou, abs=1e-12)


def test_without_data_there_are_the_counts_of_the_reference(
    shared_bundle: Path, shared_engine: Path, tmp_path: Path
) -> None:
    verify(shared_bundle, [shared_engine], None, tmp_path / "out", gates=Gates(), latency_seconds=0)
    counts = read_counts(tmp_path / "out", load(Report, tmp_path / "out"))
    assert counts.reference_NC3.shape == (6, 3, 3)
    assert counts.engines == ()


def saved(**changes: np.ndarray | None) -> bytes:
    ones_NC3 = np.ones((6, 3, 3), np.int64)
    arrays = {"ids": np.array(list("abcdef")), "image_sha256": np.array(["0"] * 6), "label_sha256": np.array(["0"] * 6)}
    arrays |= {"reference": ones_NC3, "engine_0": ones_NC3, **changes}
    file = io.BytesIO()
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"nothing of the kind", "cannot be read"),
        (saved(engine_0=None), "cannot be read"),
        (saved(ids=np.array(list("abcde"))), "cannot be read"),
        (saved(ids=np.arange(6)), "cannot be read"),
        (saved(ids=np.array(list("abcdea"))), "an id is there twice"),
        (saved(ids=np.array([None] * 6)), "cannot be read"),
        (saved(engine_0=np.ones((5, 3, 3), np.int64)), r"int64 \[5, 3, 3\], expected counts int64 \[6, 3, 3\]"),
        (saved(reference=np.ones((6, 3, 3))), "float64"),
        (saved(engine_0=np.full((6, 3, 3), -1)), "more pixels hit"),
        (saved(engine_0=np.arange(54).reshape(6, 3, 3)[..., ::-1]), "more pixels hit"),
        (saved(engine_0=np.full((6, 3, 3), 2)), "an engine's labelled pixels are others than the reference's"),
        (saved(reference=np.zeros((6, 3, 3), np.int64), engine_0=np.zeros((6, 3, 3), np.int64)), "no labelled pixel"),
    ],
)
def test_anything_else_is_refused(report: Path, content: bytes, complaint: str) -> None:
    (report / FILE).write_bytes(content)
    sealed = seal(report, load_unsealed(report))
    with pytest.raises(BadInput, match=complaint):
        read_counts(report, sealed)


def load_unsealed(report: Path) -> Report:
    from hardedge.contracts import parse_json

    return parse_json(Report, (report / Report.FILE).read_bytes(), "report")


def test_a_report_of_an_older_version_has_none(report: Path) -> None:
    (report / FILE).unlink()
    sealed = seal(report, replace(load_unsealed(report), files={}))
    with pytest.raises(BadInput, match=r"has no counts\.npz.*hardedge verify"):
        read_counts(report, sealed)
