"""Ultralytics: polygons in shares of the size, boxes alone, mask PNGs, names as list and as numbers."""

from typing import Any

import numpy as np
import pytest

from hardedge.errors import BadInput


def line(index: int, left: float, top: float, right: float, bottom: float) -> str:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return f"{index} " + " ".join(f"{x / 30:.7f} {y / 20:.7f}" for x, y in corners)


@pytest.mark.parametrize(
    "places",
    [
        "path: .\ntrain: images/train\nval: images/val\ntest: images/test\nnames: [road, car]",
        # as Roboflow writes it: above the file, though it lies beside it
        "train: ../images/train\nval: ../images/val\ntest: ../images/test\nnc: 2\nnames:\n  0: road\n  1: car",
    ],
)
def test_polygons_boxes_and_images_without_labels(bench: Any, noted: Any, places: str) -> None:
    bench.text("data.yaml", places)
    for name in ("train/a", "val/b", "test/ç"):
        bench.photo(f"images/{name}.jpg")
    bench.text("labels/train/a.txt", f"{line(1, 4, 4, 10, 10)}\n{line(0, 0, 0, 30, 12)}\n1 0.5 0.8 0.2 0.2\n")
    bench.text("labels/val/b.txt", "")
    record = bench.imported("ultralytics", unlabelled="background")
    expected = bench.blank()
    expected[14:18, 12:18] = 255
    expected[:12] = 1
    expected[4:10, 4:10] = 2  # smaller regions over larger ones, whatever their order
    np.testing.assert_array_equal(bench.result("a"), expected)
    assert not bench.result("b").any()
    assert not bench.result("ç").any()
    assert [bench.split(name) for name in ("train", "val", "test")] == [["a"], ["b"], ["ç"]]
    counts = noted(record)
    assert counts["ignored", "box of car"] == 1
    assert counts["overlapped", "pixel of road"] == 36
    assert counts["read", "image without a label"] == 2
    assert counts["read", "image without a label file"] == 1


def test_mask_images_and_lists(bench: Any) -> None:
    bench.text(
        "data.yaml", "train: train.txt\nval: images/val\ntest: images/val2\nnames: [road, car]\nmasks_dir: masks"
    )
    values = bench.blank()
    values[:7], values[9:] = 1, 255
    for name in ("all/a", "val/b", "val2/c"):
        bench.photo(f"images/{name}.jpg")
        bench.mask(f"masks/{name}.png", values)
    bench.text("train.txt", "./images/all/a.jpg\n")
    bench.imported("ultralytics")
    np.testing.assert_array_equal(bench.result("a"), values)
    assert bench.classes() == ["road", "car"]
    assert bench.split("test") == ["c"]


def test_an_image_listed_by_two_splits_is_in_the_first(bench: Any, noted: Any) -> None:
    """`test: images/val` is usual, and would score on what was validated with."""
    bench.text("data.yaml", "train: images/train\nval: images/val\ntest: images/val\nnames: [road, car]")
    for name in ("train/a", "train/b", "train/c", "val/d"):
        bench.photo(f"images/{name}.jpg")
    record = bench.imported("ultralytics", unlabelled="background")
    assert bench.split("val") == ["d"]
    assert len(bench.split("test")) == 1
    assert noted(record)["merged", "image of test"] == 1
    assert noted(record)["changed", "image to test"] == 1


def test_faults_have_their_lines(bench: Any) -> None:
    bench.text("data.yaml", "train: images\nval: nowhere\nnames: [road, car]")
    bench.photo("images/a.jpg")
    path = bench.text(
        "labels/a.txt", "2 0 0 1 0 1 1\n0 0 0 1\n0 0 0 1 x 1 1\n\n0 0 0 12 0 1 1\n0.5 0 0 1 0 1 1\n0 0 0 1 0 1 1 nan\n"
    )
    with pytest.raises(BadInput) as caught:
        bench.imported("ultralytics", unlabelled="background")
    message = str(caught.value)
    assert f"{bench.source / 'data.yaml'}: val: nowhere is not there" in message
    assert f"{path}:1: class 2, but data.yaml names 0-1" in message
    assert f"{path}:2: 3 coordinates" in message
    assert f"{path}:3: 'x' is not a number" in message
    assert f"{path}:5: a coordinate outside 0..1" in message
    assert f"{path}:6: class 0.5" in message
    assert f"{path}:7: nan is not a number" in message


def test_a_yaml_file_that_is_none_has_its_line(bench: Any) -> None:
    path = bench.text("data.yaml", "train: a\nnames: [road\nval: b\n")
    with pytest.raises(BadInput, match=rf"{path}:\d: not valid YAML"):
        bench.imported("ultralytics")
