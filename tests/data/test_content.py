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
from hardedge.data.native import VAL_IS_TEST
from hardedge.data.opening import open_dataset
from hardedge.data.sharded_dataset import ShardedDataset
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


def _as_shards(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shards as somebody else may write them: prepare itself refuses such a folder."""
    monkeypatch.setattr("hardedge.data.sharding.require_usable_data", lambda _: None)
    write_shards(root, out, shard_size=2)
    return out


@pytest.mark.parametrize(
    ("split", "like", "said"),
    [
        ("test", "scene000", "1 image file is in train and in test under two names: scene000 = copy"),
        ("val", "scene000", "1 image file is in train and in val under two names: scene000 = copy"),
        ("test", "scene006", "1 image file is twice in test under two names: scene006 = copy"),
    ],
)
def test_identical_files_in_shards_are_the_same_fault(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str, like: str, said: str
) -> None:
    require_usable_data(open_dataset(_as_shards(tiny_dataset, tmp_path / "clean", monkeypatch)))
    _add(tiny_dataset, split, "copy", like)
    sharded = _as_shards(tiny_dataset, tmp_path / "sharded", monkeypatch)
    (fault,) = check_dataset(sharded).faults
    assert fault.startswith(said) or fault.startswith(said.replace(f"{like} = copy", f"copy = {like}"))
    assert fault in _refused(sharded)


def test_ids_in_two_splits_of_shards_are_faults_but_for_a_test_split_that_is_val(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(tiny_dataset / "splits/val.txt", tiny_dataset / "splits/test.txt")
    both = _as_shards(tiny_dataset, tmp_path / "both", monkeypatch)
    assert check_dataset(both).faults == ()
    assert VAL_IS_TEST in check_dataset(both).notes
    capsys.readouterr()
    require_usable_data(open_dataset(both))
    assert VAL_IS_TEST in capsys.readouterr().err
    index = json.loads((both / "shards.json").read_text())
    index["splits"]["test"] = index["splits"]["train"]
    (both / "shards.json").write_text(json.dumps(index))
    faults = check_dataset(both).faults
    assert "test: scene000 is also in train" in faults
    assert "test: scene000 is also in train" in _refused(both)
    index["splits"]["test"] = index["splits"]["val"] * 2
    (both / "shards.json").write_text(json.dumps(index))
    said = f"test: {open_dataset(both).splits['val'][0]} is there 2 times"
    assert said in check_dataset(both).faults
    assert said in _refused(both)


def test_shards_have_the_faults_and_notes_of_their_folder(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id in open_dataset(tiny_dataset).splits["test"]:
        Image.fromarray(np.full((64, 96), 255, np.uint8)).save(tiny_dataset / f"masks/{id}.png")
    path = tiny_dataset / f"images/{open_dataset(tiny_dataset).splits['val'][0]}.png"
    Image.open(tiny_dataset / "images/scene000.png").convert("RGB").save(path.with_suffix(".jpg"), quality=90)
    path.unlink()
    folder, sharded = (
        check_dataset(tiny_dataset),
        check_dataset(_as_shards(tiny_dataset, tmp_path / "out", monkeypatch)),
    )
    assert sharded.faults == folder.faults
    assert any("nearly the same" in note for note in sharded.notes)
    assert {note.replace("splits/", "").replace(".txt", "") for note in folder.notes} == set(sharded.notes)


def test_more_images_in_shards_than_are_compared_are_a_note(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharded = _as_shards(tiny_dataset, tmp_path / "out", monkeypatch)
    monkeypatch.setattr(ShardedDataset, "most_compared", 8)
    assert "identical images were not looked for among 9 images in shards" in check_dataset(sharded).notes


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
    said = "64x96, but its image is 96x64 as stored, with EXIF orientation 6, which is not applied"
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
