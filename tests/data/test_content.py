"""Identical files, leaks and labels that cannot be meant: faults of check and of every stage, in the same words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.data.checking.check import check_dataset, check_text
from hardedge.data.content import require_usable_data
from hardedge.data.opening import open_dataset
from hardedge.data.sharding import write_shards
from hardedge.errors import BadInput


def _refused(root: Path) -> str:
    with pytest.raises(BadInput) as caught:
        require_usable_data(open_dataset(root))
    return str(caught.value)


def _add(root: Path, split: str, id: str, like: str) -> None:
    for folder in ("images", "masks"):
        shutil.copy(root / folder / f"{like}.png", root / folder / f"{id}.png")
    with (root / "splits" / f"{split}.txt").open("a") as file:
        file.write(f"{id}\n")


def test_val_copied_to_test_is_a_note_and_train_copied_a_fault_of_every_command(tiny_dataset: Path) -> None:
    splits = tiny_dataset / "splits"
    shutil.copy(splits / "val.txt", splits / "test.txt")
    check = check_dataset(tiny_dataset)
    assert check.faults == ()
    assert check.notes[0].startswith("test is the validation split")
    assert open_dataset(tiny_dataset).notes == check.notes[:1]
    shutil.copy(splits / "train.txt", splits / "test.txt")
    (fault, *_) = check_dataset(tiny_dataset).faults
    assert fault == "splits/test.txt: scene000 is also in splits/train.txt"
    with pytest.raises(BadInput, match=fault):
        open_dataset(tiny_dataset)


@pytest.mark.parametrize(
    ("split", "like", "said"),
    [
        ("test", "scene000", "1 image file is in train and in test under two names: scene000 = copy"),
        ("val", "scene000", "1 image file is in train and in val under two names: scene000 = copy"),
        ("test", "scene006", "1 image file is twice in test under two names: scene006 = copy"),
    ],
)
def test_identical_files_are_one_fault_of_every_command(
    tiny_dataset: Path, tmp_path: Path, split: str, like: str, said: str
) -> None:
    require_usable_data(open_dataset(tiny_dataset))
    _add(tiny_dataset, split, "copy", like)
    (fault,) = check_dataset(tiny_dataset).faults
    assert fault.startswith(said)
    assert fault in _refused(tiny_dataset)
    with pytest.raises(BadInput, match=said):
        write_shards(tiny_dataset, tmp_path / "sharded", shards=1)


def test_identical_training_files_and_files_of_one_size_are_none(tiny_dataset: Path) -> None:
    _add(tiny_dataset, "train", "copy", "scene000")
    for path in (tiny_dataset / "images").iterdir():
        pixels_HWC = np.asarray(Image.open(path))
        path.unlink()
        Image.fromarray(pixels_HWC).save(path.with_suffix(".bmp"))
    check = check_dataset(tiny_dataset)
    assert check.faults == ()
    assert check.notes == ("1 image file is twice in train under two names: scene000 = copy. Take one of each out",)


def test_a_reencoded_copy_in_another_split_is_a_note(tiny_dataset: Path) -> None:
    _add(tiny_dataset, "test", "again", "scene000")
    path = tiny_dataset / "images/again.png"
    Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=90)
    path.unlink()
    check = check_dataset(tiny_dataset)
    assert check.faults == ()
    (note,) = [note for note in check.notes if "nearly the same" in note]
    assert "scene000 (train)" in note
    assert "again (test)" in note


def test_masks_of_0_and_255_are_told_with_the_mapping_that_mends_them(
    make_tiny_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_tiny_dataset(tmp_path / "data")
    content = json.loads((root / "classes.json").read_text())
    content["classes"] = content["classes"][:2]
    (root / "classes.json").write_text(json.dumps(content))
    for path in (root / "masks").iterdir():
        Image.fromarray(np.where(np.asarray(Image.open(path)) == 1, 255, 0).astype(np.uint8)).save(path)
    said = "train: class sky alone is labelled, "
    (fault,) = [fault for fault in check_dataset(root).faults if fault.startswith("train")]
    assert fault.startswith(said)
    assert 'add "values": {"0": 0, "255": 1} to classes.json' in fault
    assert fault in _refused(root)
    content["values"] = {"0": 0, "255": 1}
    (root / "classes.json").write_text(json.dumps(content))
    assert check_dataset(root).faults == ()
    require_usable_data(open_dataset(root))
    assert set(np.unique(open_dataset(root).mask("scene000"))) == {0, 1}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_labels_is_a_fault(tiny_dataset: Path, split: str) -> None:
    for id in open_dataset(tiny_dataset).splits[split]:
        Image.fromarray(np.full((64, 96), 255, np.uint8)).save(tiny_dataset / f"masks/{id}.png")
    said = f"{split}: no labelled pixel; all are the ignore index 255"
    assert said in "\n".join(check_dataset(tiny_dataset).faults)
    assert said in _refused(tiny_dataset)


def test_a_palette_with_the_classes_colours_in_another_order_is_a_fault(tiny_dataset: Path) -> None:
    colors = [tuple(info.color) for info in open_dataset(tiny_dataset).task.classes]
    for order, faults in ((1, 0), (-1, 9)):
        for path in (tiny_dataset / "masks").iterdir():
            image = Image.fromarray(np.asarray(Image.open(path)))
            image.putpalette(np.array(colors[::order], np.uint8).tobytes() + bytes(253 * 3))
            image.save(path)
        assert len(check_dataset(tiny_dataset).faults) == faults
    said = "value 0 is class sky in classes.json, but the mask's own palette gives it the colour of car"
    faults = check_dataset(tiny_dataset).faults
    assert len([fault for fault in faults if said in fault]) == 9
    assert said in _refused(tiny_dataset)


@pytest.mark.parametrize(("orientation", "turn"), [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)])
def test_exif_is_told_as_a_note_and_named_as_the_cause_of_a_size(
    tiny_dataset: Path, orientation: int, turn: Image.Transpose
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in (tiny_dataset / "images").iterdir():
        Image.open(path).transpose(turn).save(path, exif=exif)
    check = check_dataset(tiny_dataset)
    (note,) = [note for note in check.notes if "EXIF" in note]
    assert note.startswith(f"9 images with an EXIF orientation, which is not applied: scene000 ({orientation})")
    if orientation == 3:
        assert check.faults == ()
        return
    said = "96x64, but its image is 64x96 as stored, with EXIF orientation 6, which is not applied"
    assert all(said in fault for fault in check.faults)
    assert len(check.faults) == 9
    with pytest.raises(BadInput, match=said):
        open_dataset(tiny_dataset).pair("scene000")


def test_small_shares_are_legible(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    root = make_tiny_dataset(tmp_path / "data", size=(512, 768))
    for path in (root / "masks").iterdir():
        mask_HW = np.asarray(Image.open(path)).copy()
        mask_HW[mask_HW == 2] = 1
        mask_HW[10, 10] = 2
        Image.fromarray(mask_HW).save(path)
    check = check_dataset(root)
    assert "0.00025" in check_text(check)
    (note,) = [note for note in check.notes if "less than 0.1%" in note]
    assert "car (0.00025 % in 4 images)" in note
