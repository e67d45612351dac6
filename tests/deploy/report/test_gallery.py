"""The gallery: each image's numbers against loops, exact masks at small sizes, bytes that stay within their limit."""

import base64
import importlib.util
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.deploy.parity.compare import TestImage as GivenImage
from hardedge.deploy.report import gallery as galleries
from hardedge.deploy.report.gallery import ABSENT, Gallery, Shot, gallery_section, picture_width
from hardedge.metrics import confusion_counts, mean_iou

_spec = importlib.util.spec_from_file_location("example_report", Path(__file__).parent / "example_report.py")
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)


def pixels_of(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def drawn_image(height: int = 6, width: int = 8) -> tuple[GivenImage, np.ndarray]:
    rng = np.random.default_rng(1)
    label_HW, mask_HW, reference_HW = rng.integers(0, 4, (3, height, width), np.uint8)
    label_HW[0] = 255
    image_HWC, hardness_HW = rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 256, (height, width))
    return GivenImage("a", image_HWC, label_HW, reference_HW, hardness_HW.astype(np.uint8), {}), mask_HW


def seen(item: GivenImage, mask_HW: np.ndarray, images: int = 1) -> Shot:
    gallery = Gallery(_made.TASK, images)
    gallery.see(item, mask_HW)
    return gallery.shots[0]


def test_the_numbers_of_an_image_against_loops() -> None:
    item, mask_HW = drawn_image()
    shot = seen(item, mask_HW)
    places = [(y, x) for y in range(6) for x in range(8)]
    labelled = [place for place in places if item.label_HW[place] != 255]
    wrong = sum(item.label_HW[place] != mask_HW[place] for place in labelled)
    assert shot.wrong == pytest.approx(100 * wrong / len(labelled))
    assert shot.differs == pytest.approx(100 * sum(mask_HW[place] != item.reference_HW[place] for place in places) / 48)
    assert item.hardness_HW is not None
    assert shot.hardness == pytest.approx(sum(int(item.hardness_HW[place]) for place in places) / 48 / 2.55)
    assert shot.miou == pytest.approx(100 * mean_iou(confusion_counts(mask_HW, item.label_HW, 11)))
    held = {int(it[place]) for it in (item.label_HW, mask_HW) for place in labelled}
    assert shot.classes == tuple(sorted(held))
    masks_HW3 = pixels_of(shot.masks)
    assert np.array_equal(masks_HW3[..., 0], item.label_HW)
    assert np.array_equal(masks_HW3[..., 1], mask_HW)
    assert not masks_HW3[..., 2].any()


def test_an_unlabelled_image_has_no_score() -> None:
    item, mask_HW = drawn_image()
    shot = seen(replace(item, label_HW=np.full_like(item.label_HW, 255), hardness_HW=None), mask_HW)
    assert (shot.miou, shot.wrong, shot.hardness, shot.classes) == (None, 0, None, ())


def test_large_pictures_are_small_in_the_page_and_keep_their_classes() -> None:
    item, mask_HW = drawn_image(300, 600)
    shot = seen(item, mask_HW, images=2000)
    assert pixels_of(shot.picture).shape == (48, 96, 3)
    assert pixels_of(shot.masks).shape == (48, 96, 3)
    assert set(np.unique(pixels_of(shot.masks)[..., 1])) <= set(range(4))  # none in between
    assert shot.size == (300, 600)
    assert [picture_width(images) for images in (2, 24, 25, 1000, 1001)] == [400, 400, 280, 136, 96]


def test_beyond_its_bytes_an_image_has_a_name_and_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "BUDGET", 1)
    shots = _made.shots(3)
    assert [bool(shot.picture) for shot in shots] == [True, False, False]
    text = gallery_section(_made.example(), shots)
    assert "2 of them have no picture here" in text
    assert text.count("<img") == 1
    assert text.count("<li") == 3


def test_without_an_engine_there_is_none() -> None:
    assert ABSENT in gallery_section(_made.example(), ())
