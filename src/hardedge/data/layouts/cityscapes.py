"""Cityscapes (Cordts et al., CVPR 2016): 19 training ids from the 34 label ids of gtFine."""

from pathlib import Path

from hardedge.data.layouts.layout import IGNORED, Layout, Listing, Pair, images_below, label_reader, table_of, task_of

NAMES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
COLORS = (
    *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153)),
    *((250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0)),
    *((0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
)
TASK = task_of(NAMES, COLORS)
# the label id of each training id; ids 0-33 that are not here are ignored in training and evaluation
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

FROM_LABEL_IDS = table_of(dict.fromkeys(range(34), IGNORED) | {label: train for train, label in enumerate(LABEL_IDS)})
FROM_TRAIN_IDS = table_of({train: train for train in range(len(NAMES))} | {IGNORED: IGNORED})
IMAGE = "_leftImg8bit"


def find(root: Path) -> Listing:
    """leftImg8bit/{train,val}/CITY/*_leftImg8bit.png with gtFine/.../*_gtFine_labelIds.png.

    Where no file of label ids is there, *_gtFine_labelTrainIds.png, as the authors' scripts make them, are read.
    Names, ids and colours: cityscapesscripts/helpers/labels.py of mcordts/cityscapesScripts (read; sure).
    """
    label_ids = any((root / "gtFine/train").glob("*/*_gtFine_labelIds.png"))
    train_ids = not label_ids and any((root / "gtFine/train").glob("*/*_gtFine_labelTrainIds.png"))
    ending = "_gtFine_labelTrainIds.png" if train_ids else "_gtFine_labelIds.png"
    train = {city.name: _pairs(root, city, ending) for city in sorted((root / "leftImg8bit/train").glob("*"))}
    val = train.pop(max(train)) if len(train) > 1 else None
    test = {
        id: pair
        for city in sorted((root / "leftImg8bit/val").glob("*"))
        for id, pair in _pairs(root, city, ending).items()
    }
    pairs = {"train": {id: pair for city in train.values() for id, pair in city.items()}, "test": test}
    if val:
        pairs["val"] = val
    return Listing(
        pairs=pairs,
        looked_for={
            "train": f"leftImg8bit/train/CITY/*{IMAGE}.png",
            "test": f"leftImg8bit/val/CITY/*{IMAGE}.png",
        },
        read_label=label_reader(FROM_TRAIN_IDS if train_ids else FROM_LABEL_IDS),
    )


def _pairs(root: Path, city: Path, ending: str) -> dict[str, Pair]:
    images = {path.stem.removesuffix(IMAGE): path for path in images_below(city, f"*{IMAGE}.png")}
    labels = root / "gtFine" / city.parent.name / city.name
    return {id: (path, labels / f"{id}{ending}") for id, path in images.items()}


CITYSCAPES = Layout(
    name="cityscapes",
    marks=("leftImg8bit",),
    task=TASK,
    note="test is Cityscapes' own val, as its test labels are not public; val is the last training city",
    find=find,
)
