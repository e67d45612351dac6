"""Small imitations of public data sets, each written as it is distributed, with the class indices it must give."""

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (16, 24)
Masks = dict[str, np.ndarray]
Writer = Callable[..., Masks]

TRAIN_ID_OF_LABEL = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255]
TRAIN_ID_OF_LABEL += [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18]
# void, sky, building, road, sidewalk, fence, vegetation, pole, car, sign, pedestrian, bicycle, motorcycle,
# parking slot, road work, light, terrain, rider, truck, bus, train, wall, lane marking
TRAIN_ID_OF_SYNTHIA = [255, 10, 2, 0, 1, 4, 8, 5, 13, 7, 11, 18, 17, 255, 255, 6, 9, 12, 14, 15, 16, 3, 255]


def _spread(values: Sequence[int], size: tuple[int, int], turn: int = 0) -> np.ndarray:
    """The values over and over, from another one on for each turn."""
    return np.resize(np.roll(np.array(values), turn), size)


def _photo(path: Path, size: tuple[int, int] = SIZE, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(path.name.encode())).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def _label(path: Path, values_HW: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values_HW.astype(np.uint8)).save(path)


def _looked_up(table: Sequence[int], values_HW: np.ndarray) -> np.ndarray:
    return np.array(table, np.uint8)[values_HW]


def write_cityscapes(root: Path, kind: str = "labelIds") -> Masks:
    cities = {"train/aachen": 2, "train/bochum": 2, "train/zurich": 1, "val/frankfurt": 2, "test/berlin": 1}
    expected = {}
    for city, count in cities.items():
        for number in range(count):
            id = f"{Path(city).name}_{number:06d}_000019"
            label_HW = _spread(range(34), SIZE, number)
            train_HW = _looked_up(TRAIN_ID_OF_LABEL, label_HW)
            _photo(root / f"leftImg8bit/{city}/{id}_leftImg8bit.png")
            _label(root / f"gtFine/{city}/{id}_gtFine_instanceIds.png", label_HW)
            _label(root / f"gtFine/{city}/{id}_gtFine_{kind}.png", label_HW if kind == "labelIds" else train_HW)
            if not city.startswith("test"):
                expected[id] = train_HW
    return expected


def write_train_ids(root: Path) -> Masks:
    return write_cityscapes(root, "labelTrainIds")


def write_ade20k(root: Path) -> Masks:
    expected = {}
    for folder, short, count in (("training", "train", 4), ("validation", "val", 2)):
        for number in range(1, count + 1):
            id = f"ADE_{short}_{number:08d}"
            label_HW = _spread(range(151), SIZE, number)
            _photo(root / f"images/{folder}/{id}.jpg")
            _label(root / f"annotations/{folder}/{id}.png", label_HW)
            expected[id] = np.where(label_HW == 0, 255, label_HW - 1)
    return expected


def write_cocostuff(root: Path) -> Masks:
    # person, fire hydrant, stop sign, toothbrush, banner, wood, unlabelled
    pairs = {0: 0, 10: 10, 12: 11, 89: 79, 91: 80, 181: 170, 255: 255}
    expected = {}
    for folder, ids in (("train2017", (9, 25, 30)), ("val2017", (139, 285))):
        for id in (f"{number:012d}" for number in ids):
            label_HW = _spread(list(pairs), SIZE)
            _photo(root / f"images/{folder}/{id}.jpg", mode="L" if id.endswith("25") else "RGB")
            _label(root / f"annotations/{folder}/{id}.png", label_HW)
            expected[id] = np.vectorize(pairs.get)(label_HW)
    return expected


def write_voc(root: Path) -> Masks:
    expected = {}
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for split, ids in (("train", ("2007_000032", "2007_000039")), ("val", ("2007_000033",))):
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(ids) + "\n")
        for id in ids:
            label_HW = _spread([*range(21), 255], SIZE).astype(np.uint8)
            _photo(root / f"JPEGImages/{id}.jpg")
            (root / "SegmentationClass").mkdir(exist_ok=True)
            image = Image.fromarray(label_HW)
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
            image.save(root / f"SegmentationClass/{id}.png")
            expected[id] = label_HW
    _photo(root / "JPEGImages/2011_003276.jpg")  # most images of VOC have no segmentation
    return expected


def write_nyuv2_mat(root: Path, size: tuple[int, int] = SIZE, count: int = 6) -> Masks:
    """Labels 0-894, of which 1-40 are classes 40-1, the others other prop; images 1, 2, 5 and 6 are for training."""
    import h5py
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    # upright, as a reader must give them; the file has each transposed, as MATLAB's column order leaves it
    images_NHWC = rng.integers(0, 256, (count, *size, 3), np.uint8)
    labels_NHW = np.stack([_spread([0, *range(1, 50), 894], size, number) for number in range(count)])
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as content:
        content["images"] = images_NHWC.transpose(0, 3, 2, 1)
        content["labels"] = labels_NHW.transpose(0, 2, 1).astype(np.uint16)
    classes = [41 - label if label <= 40 else 40 for label in range(1, 895)]
    savemat(root / "classMapping40.mat", {"mapClass": np.array([classes], np.uint8)})
    numbers = np.arange(1, count + 1)
    testing = numbers[2:-2]
    savemat(
        root / "splits.mat",
        {"trainNdxs": np.setdiff1d(numbers, testing)[:, None], "testNdxs": testing[:, None].astype(np.uint16)},
    )
    return {
        f"{number:04d}": _looked_up([255, *(value - 1 for value in classes)], labels_NHW[number - 1])
        for number in numbers
    }


def write_nyuv2_png(root: Path) -> Masks:
    expected = {}
    for split, numbers in (("train", range(4)), ("test", range(4, 6))):
        (root / f"{split}.txt").parent.mkdir(parents=True, exist_ok=True)
        names = [f"RGB/{number}.jpg" if split == "train" else str(number) for number in numbers]
        (root / f"{split}.txt").write_text("\n".join(names) + "\n")
        for number in numbers:
            label_HW = _spread(range(41), SIZE, number)
            _photo(root / f"RGB/{number}.jpg")
            _label(root / f"Label/{number}.png", label_HW)
            expected[str(number)] = np.where(label_HW == 0, 255, label_HW - 1)
    return expected


def _png16(path: Path, samples_HWC: np.ndarray) -> None:
    """A 16-bit PNG written by hand, its rows filtered in four ways: Pillow writes none of several channels."""
    height, width, channels = samples_HWC.shape
    step, rows, above = 2 * channels, b"", np.zeros(2 * channels * width, np.int64)
    for number, line in enumerate(samples_HWC.astype(">u2").reshape(height, -1).view(np.uint8).astype(np.int64)):
        left = np.concatenate([np.zeros(step, np.int64), line[:-step]])
        kind = number % 4
        filtered = line - [np.zeros_like(line), left, above, (left + above) // 2][kind]
        rows += bytes([kind]) + (filtered & 255).astype(np.uint8).tobytes()
        above = line
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )


def write_synthia(root: Path, channels: int = 3) -> Masks:
    expected = {}
    for number in range(12):
        id = f"{number:07d}"
        label_HW = _spread(range(23), SIZE, number)
        instance_HW = 300 * np.arange(SIZE[0])[:, None] + np.arange(SIZE[1])
        rest = [np.full(SIZE, 65535)] * (channels - 2)
        _photo(root / f"RGB/{id}.png")
        _png16(root / f"GT/LABELS/{id}.png", np.stack([label_HW, instance_HW, *rest], -1))
        expected[id] = _looked_up(TRAIN_ID_OF_SYNTHIA, label_HW)
    return expected


def write_synthia_two_channels(root: Path) -> Masks:
    return write_synthia(root, channels=2)


def write_oxfordpet(root: Path) -> Masks:
    expected = {}
    for split, ids in (("trainval", ("Abyssinian_1", "Abyssinian_2", "beagle_1")), ("test", ("beagle_2",))):
        for id in ids:
            label_HW = _spread([1, 2, 3], SIZE)
            _photo(root / f"images/{id}.jpg")
            _label(root / f"annotations/trimaps/{id}.png", label_HW)
            (root / f"annotations/trimaps/._{id}.png").write_bytes(b"\x00\x05\x16\x07")  # as in the archive
            expected[id] = label_HW - 1
        lines = [f"{id} 1 1 1" for id in ids]
        (root / f"annotations/{split}.txt").write_text("\n".join(["#Image CLASS-ID SPECIES BREED ID", *lines]) + "\n")
    (root / "images/Abyssinian_1.mat").write_bytes(b"")
    return expected


def write_camvid_segnet(root: Path) -> Masks:
    expected = {}
    names = {"train": ("0001TP_006690", "0006R0_f00930"), "val": ("0016E5_07959",), "test": ("Seq05VD_f00000",)}
    for split, ids in names.items():
        for id in ids:
            label_HW = _spread(range(12), SIZE)
            _photo(root / split / f"{id}.png")
            _label(root / f"{split}annot" / f"{id}.png", label_HW)
            expected[id] = np.where(label_HW == 11, 255, label_HW)
    return expected


# label_colors.txt, with the class of SegNet's 11 that each is merged into
CAMVID_COLORS = """
64 128 64 Animal 9, 192 0 128 Archway 1, 0 128 192 Bicyclist 10, 0 128 64 Bridge 1, 128 0 0 Building 1, 64 0 128 Car 8,
64 0 192 CartLuggagePram 9, 192 128 64 Child 9, 192 192 128 Column_Pole 2, 64 64 128 Fence 7, 128 0 192 LaneMkgsDriv 3,
192 0 64 LaneMkgsNonDriv 3, 128 128 64 Misc_Text 6, 192 0 192 MotorcycleScooter 10, 128 64 64 OtherMoving 8,
64 192 128 ParkingBlock 4, 64 64 0 Pedestrian 9, 128 64 128 Road 3, 128 128 192 RoadShoulder 4, 0 0 192 Sidewalk 4,
192 128 128 SignSymbol 6, 128 128 128 Sky 0, 64 128 192 SUVPickupTruck 8, 0 0 64 TrafficCone 2, 0 64 64 TrafficLight 6,
192 64 128 Train 8, 128 128 0 Tree 5, 192 128 192 Truck_Bus 8, 64 0 64 Tunnel 1, 192 192 0 VegetationMisc 5,
0 0 0 Void 255, 64 192 0 Wall 1"""


def write_camvid_original(root: Path) -> Masks:
    rows = [row.split() for row in CAMVID_COLORS.split(",")]
    colors, classes = np.array([row[:3] for row in rows], np.uint8), [int(row[4]) for row in rows]
    expected = {}
    for id in ("0001TP_008520", "0006R0_f00930", "0016E5_07959", "0016E5_08190", "0001TP_008550", "Seq05VD_f00000"):
        index_HW = _spread(range(len(rows)), SIZE)
        _photo(root / f"701_StillsRaw_full/{id}.png")
        _label(root / f"LabeledApproved_full/{id}_L.png", colors[index_HW])
        expected[id] = _looked_up(classes, index_HW)
    return expected


IMITATIONS: dict[str, tuple[str, Writer]] = {
    "cityscapes, label ids": ("cityscapes", write_cityscapes),
    "cityscapes, train ids": ("cityscapes", write_train_ids),
    "ade20k": ("ade20k", write_ade20k),
    "cocostuff": ("cocostuff", write_cocostuff),
    "voc": ("voc", write_voc),
    "nyuv2, mat": ("nyuv2", write_nyuv2_mat),
    "nyuv2, png": ("nyuv2", write_nyuv2_png),
    "synthia, three channels": ("synthia", write_synthia),
    "synthia, two channels": ("synthia", write_synthia_two_channels),
    "oxfordpet": ("oxfordpet", write_oxfordpet),
    "camvid, SegNet": ("camvid", write_camvid_segnet),
    "camvid, original": ("camvid", write_camvid_original),
}


@pytest.fixture(params=list(IMITATIONS))
def imitation(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Masks]:
    """The data set's name, its folder, and the class indices that each id's label must give."""
    name, write = IMITATIONS[request.param]
    return name, tmp_path / "there", write(tmp_path / "there")


@pytest.fixture
def write() -> Writer:
    """Writes the imitation of that name into a folder."""
    return lambda name, root, **options: IMITATIONS[name][1](root, **options)
