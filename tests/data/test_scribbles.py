"""Scribbles: inside their regions, thin, in every region, and drawn whole or not at all."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.data.opening import open_dataset
from hardedge.data.scribbles import draw_scribbles, write_scribbles
from hardedge.errors import BadInput

Program = Callable[..., subprocess.CompletedProcess[str]]


def test_a_scribble_is_the_label_along_the_middle_of_its_region() -> None:
    mask_HW = np.zeros((40, 60), np.uint8)
    mask_HW[:, 30:] = 1
    scribble_HW = draw_scribbles(mask_HW, 255)
    drawn_HW = scribble_HW != 255
    assert (scribble_HW[drawn_HW] == mask_HW[drawn_HW]).all()
    assert set(np.unique(scribble_HW)) == {0, 1, 255}
    assert 0.01 < drawn_HW.mean() < 0.1
    columns = np.flatnonzero((scribble_HW == 0).any(0))
    # 30 wide: the middle is 14.5, half as deep reaches 7.5 from the border, and the line is 3 wide
    assert columns.min() >= 6
    assert columns.max() <= 23


def test_thin_regions_are_labelled_and_specks_and_ignored_pixels_are_not() -> None:
    mask_HW = np.zeros((40, 60), np.uint8)
    mask_HW[:, 20:22] = 1
    mask_HW[5:8, 40:43] = 2
    mask_HW[30:, 30:] = 255
    scribble_HW = draw_scribbles(mask_HW, 255)
    assert (scribble_HW == 1).any(1).mean() > 0.8
    assert not (scribble_HW == 2).any()
    assert (scribble_HW[mask_HW == 255] == 255).all()


def test_two_regions_of_one_class_get_a_scribble_each() -> None:
    mask_HW = np.zeros((40, 60), np.uint8)
    mask_HW[10:20, 5:20] = mask_HW[10:20, 40:55] = 1
    scribble_HW = draw_scribbles(mask_HW, 255)
    assert (scribble_HW[:, :30] == 1).any()
    assert (scribble_HW[:, 30:] == 1).any()


def test_the_command_draws_the_training_split_and_refuses_to_draw_twice(tiny_dataset: Path, hardedge: Program) -> None:
    done = hardedge("scribbles", tiny_dataset)
    assert done.returncode == 0, done.stderr
    assert "% of the pixels are labelled" in done.stdout
    drawn = sorted(path.stem for path in (tiny_dataset / "scribbles").glob("*.png"))
    assert drawn == sorted(open_dataset(tiny_dataset).splits["train"])
    again = hardedge("scribbles", tiny_dataset)
    assert again.returncode == 2
    assert "scribbles exists" in again.stderr


def test_training_pairs_are_the_scribbles_and_all_others_the_masks(tiny_dataset: Path) -> None:
    write_scribbles(tiny_dataset)
    dataset = open_dataset(tiny_dataset, "scribbles")
    id = dataset.splits["train"][0]
    label_HW = dataset.training_pair(id)[1]
    np.testing.assert_array_equal(label_HW, np.asarray(Image.open(tiny_dataset / "scribbles" / f"{id}.png")))
    assert (dataset.pair(id)[1] != label_HW).any()
    assert dataset.digest() != open_dataset(tiny_dataset).digest()


def test_a_missing_scribble_is_named(tiny_dataset: Path) -> None:
    with pytest.raises(BadInput, match=r"scene000 has no scribbles/scene000\.png"):
        open_dataset(tiny_dataset, "scribbles")
