"""Palette PNGs keep their class indices; overlays mix as stated."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hardedge.contracts import ClassInfo, Task
from hardedge.data.decoding import read_mask
from hardedge.data.palette import UNLABELLED, colour_mask, distinct_color, overlay, palette, palette_image, save_mask

TASK = Task(
    classes=(ClassInfo(name="sky", color=(70, 130, 180)), ClassInfo(name="pole", color=(255, 0, 7))), ignore_index=255
)
MASK_HW = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)


def test_a_saved_mask_is_read_back_unchanged_with_its_colours(tmp_path: Path) -> None:
    save_mask(MASK_HW, TASK, tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), MASK_HW)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        shown = np.asarray(image.convert("RGB"))
    assert shown[0].tolist() == [[70, 130, 180], [255, 0, 7], [0, 0, 0]]


def test_all_256_values_survive(tmp_path: Path) -> None:
    mask_HW = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_mask(mask_HW, TASK, tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), mask_HW)


def test_equal_masks_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_mask(MASK_HW, TASK, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_colours_are_those_of_the_palette_image() -> None:
    assert np.array_equal(colour_mask(MASK_HW, TASK), np.asarray(palette_image(MASK_HW, TASK).convert("RGB")))


def test_ignored_pixels_show_the_image_alone() -> None:
    image_HWC = np.full((2, 3, 3), 100, np.uint8)
    mixed_HWC = overlay(image_HWC, MASK_HW, TASK, opacity=0.5)
    assert mixed_HWC[0].tolist() == [[85, 115, 140], [178, 50, 54], [100, 100, 100]]


@pytest.mark.parametrize(("opacity", "expected"), [(0.0, "image"), (1.0, "colours")])
def test_the_ends_of_opacity(opacity: float, expected: str) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    mask_HW = np.array([[0, 1, 0], [1, 1, 0]], np.uint8)
    wanted = {"image": image_HWC, "colours": colour_mask(mask_HW, TASK)}[expected]
    assert np.array_equal(overlay(image_HWC, mask_HW, TASK, opacity), wanted)


@given(st.integers(0, 255), st.floats(0, 1))
def test_an_overlay_lies_between_image_and_colour(level: int, opacity: float) -> None:
    image_HWC = np.full((1, 1, 3), level, np.uint8)
    mixed = overlay(image_HWC, np.zeros((1, 1), np.uint8), TASK, opacity)[0, 0]
    assert mixed.dtype == np.uint8
    for value, color in zip(mixed.tolist(), TASK.classes[0].color, strict=True):
        assert min(level, color) <= value <= max(level, color)


def test_pixels_of_no_class_look_like_no_class() -> None:
    def task(*colors: tuple[int, int, int]) -> Task:
        return Task(classes=tuple(ClassInfo(name=str(color), color=color) for color in colors), ignore_index=255)

    assert palette(task((128, 0, 0)))[255].tolist() == [0, 0, 0]
    assert palette(task((0, 0, 0), (200, 10, 10)))[255].tolist() == [255, 255, 255]
    assert palette(task((10, 10, 10), (240, 240, 255)))[255].tolist() == [255, 0, 255]
    every = [(red, green, blue) for red in (0, 255) for green in (0, 255) for blue in (0, 255)]
    assert tuple(palette(task(*every))[255].tolist()) in UNLABELLED
    assert distinct_color(task((220, 20, 60)), ((214, 22, 38), (0, 255, 255))) == (0, 255, 255)
