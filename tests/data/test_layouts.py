"""Public data sets as they are distributed: right classes, right splits, and one clear message for what is wrong."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hardedge.data.checking.check import check_dataset
from hardedge.data.layouts import LAYOUTS
from hardedge.data.layouts.camvid import split_of
from hardedge.data.opening import open_dataset
from hardedge.data.scribbles import write_scribbles
from hardedge.errors import BadInput, Unavailable
from hardedge.export.graph.profiles import profile_of
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.recipes import find_recipe

Masks = dict[str, np.ndarray]
Imitation = tuple[str, Path, Masks]
Write = Callable[..., Masks]
CLASSES = {
    "cityscapes": (19, {0: "road", 11: "person", 18: "bicycle"}),
    "ade20k": (150, {0: "wall", 12: "person", 149: "flag"}),
    "cocostuff": (171, {0: "person", 11: "stop sign", 79: "toothbrush", 80: "banner", 170: "wood"}),
    "voc": (21, {0: "background", 15: "person", 20: "tvmonitor"}),
    "nyuv2": (40, {0: "wall", 30: "person", 39: "other prop"}),
    "synthia": (19, {0: "road", 10: "sky", 18: "bicycle"}),
    "oxfordpet": (3, {0: "pet", 1: "background", 2: "outline"}),
    "camvid": (11, {0: "Sky", 8: "Car", 10: "Bicyclist"}),
}
SPLITS = {
    "cityscapes": {"train": {"aachen", "bochum"}, "val": {"zurich"}, "test": {"frankfurt"}},
    "ade20k": {"train": {"ADE_train"}, "val": {"ADE_train"}, "test": {"ADE_val"}},
}


def test_every_label_is_the_class_index_of_the_field(imitation: Imitation) -> None:
    name, root, expected = imitation
    dataset = open_dataset(root)
    assert dataset.name == name
    assert {id for ids in dataset.splits.values() for id in ids} == set(expected)
    for id, expected_HW in expected.items():
        image_HWC, mask_HW = dataset.pair(id)
        assert mask_HW.dtype == image_HWC.dtype == np.uint8
        assert image_HWC.shape == (*mask_HW.shape, 3)
        np.testing.assert_array_equal(mask_HW, expected_HW)


def test_the_classes_are_the_published_ones(imitation: Imitation) -> None:
    name, root, _ = imitation
    task = open_dataset(root).task
    count, some = CLASSES[name]
    assert task.num_classes == count
    assert task.ignore_index == 255
    assert {index: task.classes[index].name for index in some} == some
    assert len({info.name for info in task.classes}) == count
    assert len({info.color for info in task.classes}) == count


def test_no_id_is_in_two_splits_and_none_is_empty(imitation: Imitation) -> None:
    name, root, expected = imitation
    splits = open_dataset(root).splits
    assert min(len(ids) for ids in splits.values()) > 0
    assert sum(len(ids) for ids in splits.values()) == len(expected)
    for split, prefixes in SPLITS.get(name, {}).items():
        assert all(any(id.startswith(prefix) for prefix in prefixes) for id in splits[split])


def test_check_finds_no_fault_and_says_what_the_splits_are(imitation: Imitation) -> None:
    name, root, expected = imitation
    check = check_dataset(root)
    assert check.faults == ()
    assert check.data == name
    assert check.notes[0] == next(layout.note for layout in LAYOUTS if layout.name == name)
    counted = sum(split.labelled for split in check.splits)
    assert counted == sum(int((mask_HW != 255).sum()) for mask_HW in expected.values())


def test_the_digest_sees_another_size_and_another_split(write: Write, tmp_path: Path) -> None:
    write("voc", tmp_path / "a")
    write("voc", tmp_path / "b")
    before = open_dataset(tmp_path / "a").digest()
    assert open_dataset(tmp_path / "b").digest() == before
    with (tmp_path / "b/JPEGImages/2007_000033.jpg").open("ab") as file:
        file.write(b"\0")
    assert open_dataset(tmp_path / "b").digest() != before
    (tmp_path / "a/ImageSets/Segmentation/train.txt").write_text("2007_000039\n2007_000032\n")
    assert open_dataset(tmp_path / "a").digest() != before


def test_images_inside_one_file_have_fingerprints_of_their_own(write: Write, tmp_path: Path) -> None:
    import h5py

    write("nyuv2, mat", tmp_path)
    dataset = open_dataset(tmp_path)
    before = {id: dataset.fingerprint(id) for id in dataset.images}
    assert len(set(before.values())) == 6
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "r+") as content:
        content["labels"][1, 0, 0] = 7
    after = {id: dataset.fingerprint(id) for id in dataset.images}
    assert {id for id in before if before[id] != after[id]} == {"0002"}
    assert before["0002"][0] == after["0002"][0]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_come_from_a_mat_file_also_in_a_worker(write: Write, tmp_path: Path, workers: int) -> None:
    write("nyuv2, mat", tmp_path)
    recipe = replace(find_recipe("camvid", {}), batch=2, crop=(32, 48), workers=workers)
    samples = TrainingSamples(open_dataset(tmp_path), recipe)
    batch = next(training_batches(samples, recipe, torch.device("cpu"), first=0, last=1))
    assert batch.image.shape == (2, 3, 32, 48)
    assert set(batch.target.unique().tolist()) <= {*range(40), 255}


def test_scribbles_are_drawn_from_any_data_set(write: Write, tmp_path: Path) -> None:
    expected = write("cityscapes, label ids", tmp_path)
    for id, mask_HW in expected.items():
        path = next(tmp_path.glob(f"gtFine/*/*/{id}_gtFine_labelIds.png"))
        Image.fromarray(np.full_like(mask_HW, 7)).save(path)  # road
    write_scribbles(tmp_path)
    dataset = open_dataset(tmp_path, "scribbles")
    mask_HW = dataset.training_pair(dataset.splits["train"][0])[1]
    assert set(np.unique(mask_HW)) == {0, 255}


@pytest.mark.parametrize(
    ("name", "file", "value", "said"),
    [
        ("cityscapes, label ids", "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png", 34, "34"),
        ("cityscapes, train ids", "gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png", 19, "19"),
        ("ade20k", "annotations/training/ADE_train_00000001.png", 151, "151"),
        ("cocostuff", "annotations/train2017/000000000009.png", 11, "11"),
        ("voc", "SegmentationClass/2007_000032.png", 21, "21"),
        ("nyuv2, png", "Label/0.png", 41, "41"),
        ("oxfordpet", "annotations/trimaps/beagle_1.png", 0, "0"),
        ("camvid, SegNet", "trainannot/0001TP_006690.png", 12, "12"),
    ],
)
def test_a_value_that_is_no_label_is_named(
    name: str, file: str, value: int, said: str, write: Write, tmp_path: Path
) -> None:
    write(name, tmp_path)
    values_HW = np.array(Image.open(tmp_path / file))
    values_HW[3, 5] = value
    Image.fromarray(values_HW).save(tmp_path / file)
    faults = check_dataset(tmp_path).faults
    assert len(faults) == 1
    assert faults[0].startswith(f"{file}: label {said}, expected one of ")


def test_a_colour_that_camvid_does_not_have_is_named(write: Write, tmp_path: Path) -> None:
    write("camvid, original", tmp_path)
    path = tmp_path / "LabeledApproved_full/0016E5_07959_L.png"
    colors_HWC = np.array(Image.open(path))
    colors_HWC[0, 0] = (128, 128, 130)  # rounded down it would be the sky
    colors_HWC[0, 1] = (192, 192, 192)
    Image.fromarray(colors_HWC).save(path)
    faults = check_dataset(tmp_path).faults
    assert len(faults) == 1
    assert "0016E5_07959_L.png: colour (128, 128, 130), (192, 192, 192), which CamVid" in faults[0]


def test_a_label_that_the_mapping_does_not_have_is_named(write: Write, tmp_path: Path) -> None:
    import h5py

    write("nyuv2, mat", tmp_path)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "r+") as content:
        content["labels"][2, 0, 0] = 895
    faults = check_dataset(tmp_path).faults
    assert faults == (
        "nyu_depth_v2_labeled.mat/labels/0003: label 895, expected one of 0-894. Correct the file, or get it anew.",
    )


@pytest.mark.parametrize(
    ("shape", "said"), [((16, 24), "8 bits, colour type 0"), ((16, 24, 3), "8 bits, colour type 2")]
)
def test_a_label_of_8_bits_is_not_taken_for_synthia(
    shape: tuple[int, ...], said: str, write: Write, tmp_path: Path
) -> None:
    write("synthia, three channels", tmp_path)
    Image.fromarray(np.ones(shape, np.uint8)).save(tmp_path / "GT/LABELS/0000003.png")
    faults = check_dataset(tmp_path).faults
    assert len(faults) == 1
    assert faults[0].startswith("GT/LABELS/0000003.png: PNG of " + said)


@pytest.mark.parametrize("name", ["synthia, two channels", "synthia, three channels"])
def test_a_truncated_16_bit_label_is_named(name: str, write: Write, tmp_path: Path) -> None:
    write(name, tmp_path)
    path = tmp_path / "GT/LABELS/0000003.png"
    for length in (len(path.read_bytes()) - 40, 20, 0):
        path.write_bytes(path.read_bytes()[:length])
        faults = check_dataset(tmp_path).faults
        assert len(faults) == 1
        assert faults[0].startswith("GT/LABELS/0000003.png cannot be read as a mask")


def test_missing_files_are_all_named_and_many_are_cut_short(write: Write, tmp_path: Path) -> None:
    write("synthia, three channels", tmp_path / "a")
    for path in sorted((tmp_path / "a/GT/LABELS").iterdir())[:2]:
        path.unlink()
    with pytest.raises(BadInput) as caught:
        open_dataset(tmp_path / "a")
    assert "GT/LABELS/0000000.png: missing" in str(caught.value)
    assert "GT/LABELS/0000001.png: missing" in str(caught.value)
    assert "hardedge check" in str(caught.value)
    assert len(check_dataset(tmp_path / "a").faults) == 2
    root = tmp_path / "b/leftImg8bit/train/aachen"
    root.mkdir(parents=True)
    for number in range(50):
        Image.new("RGB", (8, 8)).save(root / f"aachen_{number:06d}_000019_leftImg8bit.png")
    with pytest.raises(BadInput) as caught:
        open_dataset(tmp_path / "b")
    assert "leftImg8bit/val/CITY/*_leftImg8bit.png: none" in str(caught.value)
    assert "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png: missing" in str(caught.value)
    assert "and 31 more" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("voc", "ImageSets/Segmentation/val.txt", "ids in ImageSets/Segmentation/val.txt: none"),
        ("oxfordpet", "annotations/trainval.txt", "ids in annotations/trainval.txt: none"),
        ("nyuv2, png", "test.txt", "names in test.txt: none"),
        ("camvid, SegNet", "val/0016E5_07959.png", "val/*.png: none"),
        ("nyuv2, mat", "splits.mat", "splits.mat: missing"),
        ("nyuv2, mat", "classMapping40.mat", "classMapping40.mat: missing"),
    ],
)
def test_a_part_that_is_missing_is_named(name: str, file: str, said: str, write: Write, tmp_path: Path) -> None:
    write(name, tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(BadInput) as caught:
        open_dataset(tmp_path)
    assert said in str(caught.value)
    assert any(said in fault for fault in check_dataset(tmp_path).faults)


@pytest.mark.parametrize("file", ["nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"])
def test_a_mat_file_that_is_none_is_named(file: str, write: Write, tmp_path: Path) -> None:
    write("nyuv2, mat", tmp_path)
    (tmp_path / file).write_bytes(b"MATLAB 5.0 MAT-file, not really")
    with pytest.raises(BadInput, match=f"{file}.*cannot be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("package", ["h5py", "scipy"])
def test_a_mat_file_without_its_packages_says_how_to_add_them(
    package: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("nyuv2, mat", tmp_path)
    for module in (package, f"{package}.io"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match=rf"{package} is not installed.*hardedge\[data\]"):
        open_dataset(tmp_path)


def test_a_folder_that_is_nothing_known_says_what_was_looked_for(write: Write, tmp_path: Path) -> None:
    write("voc", tmp_path / "VOCdevkit/VOC2012")
    with pytest.raises(BadInput) as caught:
        open_dataset(tmp_path / "VOCdevkit")
    message = str(caught.value)
    assert "has no classes.json" in message
    for layout in LAYOUTS:
        assert f"{layout.name} by {layout.marks[0]}" in message
    assert f"Did you mean {tmp_path / 'VOCdevkit/VOC2012'}?" in message


def test_a_folder_with_two_data_sets_is_refused(write: Write, tmp_path: Path) -> None:
    write("voc", tmp_path)
    write("cityscapes, label ids", tmp_path)
    with pytest.raises(BadInput, match=r"several data sets: cityscapes \(leftImg8bit\), voc"):
        open_dataset(tmp_path)
    assert "several data sets" in check_dataset(tmp_path).faults[0]


def test_one_image_cannot_be_split(write: Write, tmp_path: Path) -> None:
    write("voc", tmp_path)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("2007_000032\n")
    with pytest.raises(BadInput, match="train.txt: too few to hold some out for validation"):
        open_dataset(tmp_path)


def test_camvids_frames_are_split_as_segnet_split_them() -> None:
    ends = {
        "train": ("0001TP_006690", "0001TP_008520", "0006R0_f00930", "0006R0_f03930", "0016E5_00390", "0016E5_07920"),
        "val": ("0016E5_07959", "0016E5_08159"),
        "test": ("0001TP_008550", "0001TP_010380", "Seq05VD_f00000", "Seq05VD_f05100"),
    }
    assert {split: {split_of(id) for id in ids} for split, ids in ends.items()} == {split: {split} for split in ends}
    assert split_of("0016E5_08190") == "train"


def test_the_profile_of_images_inside_one_file_is_their_size(write: Write, tmp_path: Path) -> None:
    write("nyuv2, mat", tmp_path)
    profile = profile_of(open_dataset(tmp_path))
    assert profile.opt == (1, 16, 24)
    assert profile.min == (1, 16, 24)


@pytest.mark.slow
def test_every_stage_works_on_a_public_data_set(
    write: Write, tmp_path: Path, hardedge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    write("nyuv2, mat", tmp_path / "nyu", size=(48, 64), count=14)
    data, settings = tmp_path / "nyu", ("steps=4", "batch=2", "crop=32,32", "scale=1,1", "evaluate_every=2")
    arguments = [word for setting in settings for word in ("--set", setting)]
    checked = hardedge("check", data)
    assert checked.returncode == 0, checked.stdout
    trained = hardedge("train", "camvid", "--data", data, "--out", tmp_path / "a", *arguments)
    assert trained.returncode == 0, trained.stderr
    exported = hardedge("export", tmp_path / "a", "--data", data, "--out", tmp_path / "bundle")
    assert exported.returncode == 0, exported.stderr
    target = ("--target", "onnxruntime:cpu", "--latency", "0s", "--max-miou-drop", "0.1", "--max-unseen", "90")
    deployed = hardedge("deploy", tmp_path / "bundle", "--data", data, "--out", tmp_path / "deployed", *target)
    assert deployed.returncode == 0, deployed.stderr
    assert "parity       onnxruntime:cpu fp32: pass" in deployed.stdout
