"""Deciles of hardness and stable pixels against loops, and on a whole bundle with a network that was disturbed."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from hardedge.contracts import Bundle, HardnessDecile
from hardedge.data.opening import open_dataset
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.engines.build import build
from hardedge.deploy.parity.hardness_deciles import hardness_counts, split_into_deciles
from hardedge.deploy.parity.stable_pixels import count_stable, open_stable_probe, sum_stable
from hardedge.deploy.parity.subset import compared_ids
from hardedge.deploy.report.hard_pixels import decile_rows
from hardedge.deploy.report.pictures import WRONG, stable_map
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput
from hardedge.graphs.probes import with_logits_output
from hardedge.metrics import confusion_counts


def test_deciles_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    hardness_HW = (255 * rng.beta(0.5, 3, (60, 80))).astype(np.uint8)
    label_HW = rng.integers(0, 3, (60, 80), np.uint8)
    label_HW[rng.random((60, 80)) < 0.1] = 255
    reference_HW, mask_HW = (np.where(rng.random((60, 80)) < 0.9, label_HW % 3, 2).astype(np.uint8) for _ in range(2))
    found = split_into_deciles(hardness_counts(hardness_HW, mask_HW, reference_HW, label_HW, 255))
    labelled_HW = label_HW != 255
    assert sum(each.pixels for each in found) == np.count_nonzero(labelled_HW)
    assert [each.low for each in found][1:] > [each.high for each in found][:-1]
    for each in found:
        inside_HW = labelled_HW & (hardness_HW >= each.low) & (hardness_HW <= each.high)
        assert each.pixels == np.count_nonzero(inside_HW)
        assert each.agreement == (mask_HW == reference_HW)[inside_HW].mean()
        assert each.accuracy == (mask_HW == label_HW)[inside_HW].mean()
        assert each.accuracy_reference == (reference_HW == label_HW)[inside_HW].mean()


def test_even_levels_give_even_tenths() -> None:
    counts_4V = np.zeros((4, 256), np.int64)
    counts_4V[:, :100] = 7
    found = split_into_deciles(counts_4V)
    assert [(each.low, each.high, each.pixels) for each in found] == [(10 * i, 10 * i + 9, 70) for i in range(10)]


def test_one_level_is_one_part_and_nothing_is_none() -> None:
    counts_4V = np.zeros((4, 256), np.int64)
    assert split_into_deciles(counts_4V) == ()
    counts_4V[:, 128] = 5, 4, 3, 2
    (only,) = split_into_deciles(counts_4V)
    assert (only.low, only.high, only.pixels) == (128, 128, 5)
    assert (only.agreement, only.accuracy_reference, only.accuracy) == (0.8, 0.6, 0.4)


def test_stable_pixels_are_counted() -> None:
    stable_HW = np.array([[True, True, False], [True, False, False]])
    equal_HW = np.array([[True, False, False], [True, True, True]])
    found = sum_stable([count_stable(stable_HW, equal_HW), count_stable(stable_HW, np.ones((2, 3), bool))], 0.25)
    assert (found.images, found.pixels, found.share) == (2, 12, 0.5)
    assert (found.changed, found.flips, found.logit_error) == (2, 1, 0.25)


def test_the_map_marks_stable_pixels_that_changed() -> None:
    stable_HW = np.array([[True, True, False, False]])
    map_HWC = stable_map(stable_HW, np.array([[0, 1, 1, 0]], np.uint8), np.array([[0, 0, 0, 0]], np.uint8))
    assert map_HWC[0].tolist() == [[120] * 3, list(WRONG), [255] * 3, [255] * 3]


def test_margins_are_those_of_the_formula(own_bundle: Path, shared_data: Path, resealed: Callable[..., Bundle]) -> None:
    """The made network's logits are 2 c.x - |c|^2: the margin is the difference of the two smallest distances."""
    bundle, data = resealed(own_bundle, logit_difference=2000.0), open_dataset(shared_data)
    probe = open_stable_probe(OpenBundle(own_bundle, bundle), {"fp32"})
    assert probe is not None
    colors = np.array([entry.color for entry in bundle.task.classes], np.int64)
    for id in data.splits["test"]:
        pixels_HWC = data.image(id).astype(np.int64)
        distances = np.sort(((pixels_HWC[:, :, None] - colors) ** 2).sum(-1), axis=-1)
        assert np.array_equal(probe.of(id, data.image(id))["fp32"], distances[..., 1] - distances[..., 0] > 4000), id
    assert probe.errors == {"fp32": 2000.0}
    assert probe.of("another", data.image(id)) == {}


@pytest.mark.parametrize(("multiply_adds", "count"), [(1, 64), (10**11, 30), (10**13, 8)])
def test_few_images_are_taken_of_a_large_network(multiply_adds: int, count: int) -> None:
    ids = [f"{number:03d}" for number in range(100)]
    found = compared_ids(ids, multiply_adds)
    assert len(found) == count
    assert (found[0], found) == ("000", tuple(sorted(set(found))))
    assert max(int(b) - int(a) for a, b in pairwise(found)) - min(int(b) - int(a) for a, b in pairwise(found)) <= 1
    assert compared_ids(ids[:3], multiply_adds) == tuple(ids[:3])


def test_a_network_without_an_argmax_over_classes_has_no_margins(color_model: Callable[..., onnx.ModelProto]) -> None:
    model = color_model(np.array([(0, 0, 0), (9, 9, 9)]))
    assert with_logits_output(model) is not None
    model.graph.node[3].attribute[0].i = 3
    assert with_logits_output(model) is None


def test_a_report_has_deciles_stable_pixels_and_their_flips(
    own_bundle: Path, shared_data: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    """The reference's masks get a block of another class: those pixels are stable, and count as flipped."""
    path = sorted((own_bundle / "reference/masks").iterdir())[0]
    mask_HW = np.asarray(Image.open(path)).copy()
    mask_HW[10:14, 10:20] = (mask_HW[10:14, 10:20] + 1) % 3
    Image.fromarray(mask_HW).save(path)
    Image.fromarray(mask_HW).save(own_bundle / "golden/masks" / path.name)
    with np.load(own_bundle / "reference/confusion.npz") as stored:
        counts_NCC = stored["counts"].copy()
    label_HW = open_dataset(shared_data).mask(path.stem)
    counts_NCC[0] = confusion_counts(mask_HW, label_HW, 3)
    np.savez(own_bundle / "reference/confusion.npz", counts=counts_NCC)
    resealed(own_bundle, logit_difference=1.0)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    report = verify(own_bundle, [tmp_path / "engine"], shared_data, tmp_path / "out", gates=Gates(), latency_seconds=0)
    (parity,) = report.parity
    assert parity.stable is not None
    assert (parity.stable.images, parity.stable.flips, parity.stable.changed) == (6, 40, 40)
    assert parity.stable.share > 0.99
    assert [(each.low, each.high) for each in parity.deciles] == [(128, 128)]
    text = (tmp_path / "out/report.html").read_text()
    for said in (
        "Stable pixels",
        "Labelled pixels in tenths by stored hardness, onnxruntime:cpu fp32",
        "stable ones that",
    ):
        assert said in text


def test_hardness_of_another_size_is_refused(
    own_bundle: Path, shared_data: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    path = sorted((own_bundle / "reference/hardness").iterdir())[0]
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(path)
    resealed(own_bundle)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    with pytest.raises(BadInput, match=f"{path.name} is \\(3, 4\\), its label \\(64, 96\\)"):
        verify(own_bundle, [tmp_path / "engine"], shared_data, tmp_path / "out", gates=Gates(), latency_seconds=0)


def test_neighbours_that_one_range_would_name_are_one_row() -> None:
    def tenth(low: int, pixels: int, accuracy: float) -> HardnessDecile:
        return HardnessDecile(
            low=low, high=low, pixels=pixels, agreement=1.0, accuracy_reference=accuracy, accuracy=accuracy
        )

    rows = decile_rows([tenth(0, 30, 1.0), tenth(1, 10, 0.6), tenth(90, 60, 0.5)], wrong=34.0)
    assert [row[0] for row in rows] == ["0 to 40 % (easiest)", "40 to 100 % (hardest)"]
    assert rows[0][2:] == ("0.00", "40", "100\u202f%", "90.000\u202f%", "90.000\u202f%")
    assert rows[1][2] == "0.35"
