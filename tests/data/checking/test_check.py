"""The check of a data set: right counts, and every inserted fault in one list."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import to_json
from hardedge.data.checking.check import check_dataset, check_text
from hardedge.data.checking.counts import ClassCount, SplitCount, absent_class_notes
from hardedge.data.opening import open_dataset
from hardedge.data.split_lists import read_splits
from hardedge.errors import BadInput


def _save(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path)


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _mentioned(faults: tuple[str, ...], *words: str) -> list[str]:
    return [fault for fault in faults if all(word in fault for word in words)]


def test_a_good_data_set_is_counted(tiny_dataset: Path) -> None:
    check = check_dataset(tiny_dataset)
    assert check.faults == ()
    assert check.notes == ()
    assert [(split.name, split.images) for split in check.splits] == [("train", 4), ("val", 2), ("test", 3)]
    ids = (tiny_dataset / "splits" / "test.txt").read_text().split()
    masks = np.stack([np.asarray(Image.open(tiny_dataset / "masks" / f"{id}.png")) for id in ids])
    test = check.splits[2]
    assert test.ignored == (masks == 255).sum() == 3 * 6
    assert test.labelled == masks.size - test.ignored
    for index, entry in enumerate(test.classes):
        assert entry.pixels == (masks == index).sum()
        assert entry.share == pytest.approx((masks == index).sum() / test.labelled)
        assert entry.images == 3
    assert "no fault" in check_text(check)
    assert json.loads(to_json(check))["splits"][0]["classes"][0]["name"] == "sky"


def test_every_fault_is_listed_at_once(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    root = make_tiny_dataset(tmp_path / "faulty", train=8, val=2, test=3)
    images, masks, splits = root / "images", root / "masks", root / "splits"
    mask = np.array(Image.open(masks / "scene000.png"))
    mask[5, 5] = 31
    _save(mask, masks / "scene000.png")
    _save(mask[:32], masks / "scene001.png")
    _truncate(images / "scene002.png")
    _truncate(masks / "scene003.png")
    (masks / "scene004.png").write_bytes(b"not an image")
    (images / "scene005.png").write_bytes(b"")
    _save(np.stack([mask] * 3, -1), masks / "scene006.png")
    _save(np.stack([mask] * 3, -1), images / "scene007.jpg")
    (masks / "scene008.png").unlink()
    (images / "scene009.png").unlink()
    _save(np.zeros((4, 4, 3), np.uint8), images / "no_mask.png")
    _save(np.zeros((4, 4), np.uint8), masks / "no_image.png")
    (splits / "train.txt").write_text((splits / "train.txt").read_text() + "scene000\nabsent\nscene012\n")
    (splits / "val.txt").write_text("scene008\nscene009\n")

    faults = check_dataset(root).faults

    expected = [
        ("masks/scene000.png", "class index 31"),
        ("masks/scene001.png", "class index 31"),
        ("masks/scene001.png", "32x96", "64x96"),
        ("images/scene002.png", "cannot be read as an image"),
        ("masks/scene003.png", "cannot be read as a mask"),
        ("masks/scene004.png", "not an image in a known format"),
        ("images/scene005.png", "not an image in a known format"),
        ("masks/scene006.png", "mode RGB"),
        ("images/scene007.png", "same name as images/scene007.jpg"),
        ("splits/val.txt", "scene008", "no mask"),
        ("splits/val.txt", "scene009", "no image"),
        ("masks/scene009.png", "no image"),
        ("images/no_mask.png", "no mask masks/no_mask.png"),
        ("masks/no_image.png", "no image"),
        ("splits/train.txt", "scene000 is named twice"),
        ("splits/train.txt", "absent has no image"),
        ("splits/train.txt", "absent has no mask"),
        ("splits/test.txt", "scene012 is also in splits/train.txt"),
    ]
    for words in expected:
        assert len(_mentioned(faults, *words)) == 1, (words, faults)
    assert len(faults) == len(expected), faults
    assert str(root) not in "".join(faults)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("classes.json", "{", "classes.json"),
        ("classes.json", None, "has no classes.json"),
        ("splits/val.txt", "", "splits/val.txt: empty"),
        ("splits/test.txt", None, "splits/test.txt: missing"),
    ],
)
def test_a_faulty_text_file_is_one_fault(tiny_dataset: Path, file: str, content: str | None, said: str) -> None:
    (tiny_dataset / file).unlink()
    if content is not None:
        (tiny_dataset / file).write_text(content)
    check = check_dataset(tiny_dataset)
    assert len(check.faults) == 1
    assert said in check.faults[0]
    assert check.faults[0] in check_text(check)


@pytest.mark.parametrize("file", ["classes.json", "splits/val.txt"])
def test_text_that_is_not_text_is_a_fault(tiny_dataset: Path, file: str) -> None:
    (tiny_dataset / file).write_bytes(b"\xff\xfe\x00\xd8")
    assert [fault for fault in check_dataset(tiny_dataset).faults if file.split("/")[0] in fault]


def test_no_folder_and_an_empty_folder_are_faults(tmp_path: Path) -> None:
    assert "is not a folder" in check_dataset(tmp_path / "absent").faults[0]
    faults = check_dataset(tmp_path).faults
    assert len(_mentioned(faults, "has no classes.json")) == 1
    assert len(_mentioned(faults, "images/: no image file")) == 1
    assert len(_mentioned(faults, "missing")) == 3


def test_a_class_that_never_occurs_and_an_unused_image_are_notes(tiny_dataset: Path) -> None:
    content = json.loads((tiny_dataset / "classes.json").read_text())
    content["classes"].append({"name": "tram", "color": [0, 80, 100]})
    (tiny_dataset / "classes.json").write_text(json.dumps(content))
    ids = (tiny_dataset / "splits" / "test.txt").read_text().split()
    (tiny_dataset / "splits" / "test.txt").write_text("\n".join(ids[1:]))
    check = check_dataset(tiny_dataset)
    assert check.faults == ()
    assert check.notes == (
        "splits/train.txt: no pixel of class tram",
        "splits/val.txt: no pixel of class tram",
        "splits/test.txt: no pixel of class tram",
        "images/: 1 in no split",
    )


def test_one_id_twice_is_found_in_a_long_list_in_one_pass(tmp_path: Path) -> None:
    """Counting each id anew would take 200,000 squared comparisons: minutes."""
    (tmp_path / "splits").mkdir()
    ids = [f"{number:06d}" for number in range(200_000)]
    for split in ("train", "val", "test"):
        (tmp_path / f"splits/{split}.txt").write_text("\n".join([*ids, "000007"] if split == "train" else [split]))
    assert read_splits(tmp_path, {*ids, "val", "test"})[1] == ["splits/train.txt: 000007 is named twice"]


@pytest.mark.parametrize("name", ["scene\u202e000", "scene\x1b[2J", "n" * 240])
def test_an_id_that_cannot_be_shown_or_written_on_is_refused(name: str, tiny_dataset: Path) -> None:
    for folder in ("images", "masks"):
        (tiny_dataset / folder / "scene000.png").rename(tiny_dataset / folder / f"{name}.png")
    path = tiny_dataset / "splits/train.txt"
    path.write_text(path.read_text().replace("scene000", name), encoding="utf-8")
    with pytest.raises(BadInput, match="Rename the image and its mask"):
        open_dataset(tiny_dataset)
    assert any("Rename the image" in fault for fault in check_dataset(tiny_dataset).faults)


@pytest.mark.parametrize("content", ['{"classes": ' + "[" * 100_000, "[" * 100_000 + "]" * 100_000])
def test_nested_classes_are_a_fault(content: str, tiny_dataset: Path) -> None:
    (tiny_dataset / "classes.json").write_text(content)
    assert any("classes.json" in fault for fault in check_dataset(tiny_dataset).faults)
    with pytest.raises(BadInput, match=r"classes\.json"):
        open_dataset(tiny_dataset)


def test_absent_classes_of_a_split_are_one_line() -> None:
    classes = tuple(ClassCount(name=f"c{index}", pixels=int(index == 0), share=0.0, images=0) for index in range(9))
    split = SplitCount(name="val", images=1, labelled=1, ignored=0, classes=classes)
    assert absent_class_notes([split], "{}") == ["val: no pixel of 8 of 9 classes: c1, c2, c3, c4, c5 and 3 more"]
