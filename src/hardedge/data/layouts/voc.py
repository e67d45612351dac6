"""PASCAL VOC segmentation (Everingham et al., IJCV 2010 and 2015): background and 20 classes, the border ignored."""

from pathlib import Path

from hardedge.data.layouts.layout import (
    IGNORED,
    Layout,
    Listing,
    distinct_colors,
    label_reader,
    names_in,
    table_of,
    task_of,
)

NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
FROM_LABELS = table_of({label: label for label in range(len(NAMES))} | {IGNORED: IGNORED})
LISTS = {"train": "ImageSets/Segmentation/train.txt", "test": "ImageSets/Segmentation/val.txt"}


def find(root: Path) -> Listing:
    """JPEGImages/ID.jpg with SegmentationClass/ID.png for the ids of ImageSets/Segmentation/{train,val}.txt.

    Labels are palette PNGs whose index is the class, 255 on the border of objects. Names, order and colours as in
    mmsegmentation's and Apple's readers of the set (read; sure).
    """
    return Listing(
        pairs={
            split: {
                id: (root / f"JPEGImages/{id}.jpg", root / f"SegmentationClass/{id}.png") for id in names_in(root / ids)
            }
            for split, ids in LISTS.items()
        },
        looked_for={split: f"ids in {path}" for split, path in LISTS.items()},
        read_label=label_reader(FROM_LABELS),
    )


VOC = Layout(
    name="voc",
    marks=("ImageSets/Segmentation",),
    task=task_of(NAMES, distinct_colors(len(NAMES), first=0)),
    note="test is VOC's own val, as its test labels are not public; val is held out of train",
    find=find,
)
