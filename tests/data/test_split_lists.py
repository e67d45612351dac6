"""Lines of a split that can mean one image only are read; of others the nearest name is told."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from hardedge.data.checking.check import check_dataset
from hardedge.data.opening import open_dataset
from hardedge.data.split_lists import ids_of
from hardedge.errors import BadInput

KNOWN = {"im000", "my image 1", "a.b", "über", "x", "y"}


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("im000", ["im000"]),
        ("im000.png", ["im000"]),
        ("im000.JPG", ["im000"]),
        ("images/im000.png", ["im000"]),
        ("./images/im000.png", ["im000"]),
        (r"images\im000.png", ["im000"]),
        ("images/im000.png masks/im000.png", ["im000"]),
        ("images/im000.png,masks/im000.png", ["im000"]),
        ("my image 1", ["my image 1"]),
        ("my image 1.png", ["my image 1"]),
        ("a.b", ["a.b"]),
        ("a.b.png", ["a.b"]),
        (unicodedata.normalize("NFD", "über"), ["über"]),
        ("x y", ["x", "y"]),
        ("x unknown", ["x unknown"]),
        ("im001", ["im001"]),
    ],
)
def test_what_a_line_means(line: str, ids: list[str]) -> None:
    assert ids_of(line, KNOWN) == ids


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_mark_and_line_ends_are_no_part_of_an_id(tiny_dataset: Path, start: bytes, end: bytes) -> None:
    expected = open_dataset(tiny_dataset).splits
    for path in (tiny_dataset / "splits").iterdir():
        path.write_bytes(start + end.join(path.read_bytes().split()) + end)
    assert open_dataset(tiny_dataset).splits == expected


def test_names_with_spaces_and_decomposed_ones_are_read(tiny_dataset: Path) -> None:
    for folder in ("images", "masks"):
        (tiny_dataset / folder / "scene000.png").rename(tiny_dataset / folder / "my scene.PNG")
        (tiny_dataset / folder / "scene001.png").rename(
            tiny_dataset / folder / (unicodedata.normalize("NFD", "über") + ".png")
        )
    (tiny_dataset / "splits/train.txt").write_text("my scene\nüber\nscene002\nscene003\n", encoding="utf-8")
    dataset = open_dataset(tiny_dataset)
    assert dataset.splits["train"] == ("my scene", "über", "scene002", "scene003")
    for id in dataset.splits["train"]:
        assert dataset.pair(id)[1].shape == (64, 96)
    assert check_dataset(tiny_dataset).faults == ()


def test_hidden_files_are_none(tiny_dataset: Path) -> None:
    for folder in ("images", "masks"):
        (tiny_dataset / folder / "._scene000.png").write_bytes(b"\0\5\x16\7")
        (tiny_dataset / folder / ".DS_Store").write_bytes(b"\0")
        (tiny_dataset / folder / "Thumbs.db").write_bytes(b"\0")
    assert check_dataset(tiny_dataset).faults == ()
    assert check_dataset(tiny_dataset).notes == ()


def test_an_unknown_name_is_told_with_the_nearest(tiny_dataset: Path) -> None:
    (tiny_dataset / "splits/val.txt").write_text("scene04\nscene005\n")
    with pytest.raises(BadInput, match=r"splits/val\.txt: scene04 has no image in images/ \(nearest: scene004\)"):
        open_dataset(tiny_dataset)


def test_folders_below_images_are_named(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    root = make_tiny_dataset(tmp_path / "data")
    (root / "images").rename(root / "city")
    (root / "images").mkdir()
    (root / "city").rename(root / "images/city")
    with pytest.raises(BadInput, match=r"images/: no image file .*; folders in it are not read: city"):
        open_dataset(root)


def test_an_image_in_a_folder_that_is_not_read_is_told(tiny_dataset: Path) -> None:
    (tiny_dataset / "images/city").mkdir()
    (tiny_dataset / "images/scene000.png").rename(tiny_dataset / "images/city/scene000.png")
    faults = "\n".join(check_dataset(tiny_dataset).faults)
    assert "scene000 has no image in images/ (images/city/scene000.png is in a folder, which is not read" in faults
