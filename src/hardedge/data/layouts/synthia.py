"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): 16-bit labels mapped onto the training ids of Cityscapes."""

from pathlib import Path

import numpy as np

from hardedge.data.decoding import Pixels
from hardedge.data.labels import looked_up
from hardedge.data.layouts.cityscapes import TASK
from hardedge.data.layouts.layout import (
    IGNORED,
    Layout,
    Listing,
    images_below,
    table_of,
    take_evenly,
    without,
)
from hardedge.data.layouts.png16 import first_channel

# the SYNTHIA id of each Cityscapes training id; terrain 16, truck 18 and train 20 exist and never occur
IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)
# void 0, parking slot 13, road work 14 and lane marking 22 have no training id
FROM_IDS = table_of(dict.fromkeys(range(23), IGNORED) | {id: train for train, id in enumerate(IDS)})
TESTED = 10


def find(root: Path) -> Listing:
    """RGB/*.png with GT/LABELS/*.png of the same name.

    Ids: the set's README as in m-birke/automotive-segmentation-datasets; their training ids: DAFormer's
    tools/convert_datasets/synthia.py and two other repositories, which agree (read; sure).
    """
    pairs = {path.stem: (path, root / "GT/LABELS" / f"{path.stem}.png") for path in images_below(root / "RGB")}
    test = take_evenly(tuple(pairs), max(len(pairs) // TESTED, 1)) if pairs else ()
    return Listing(
        pairs={"train": without(pairs, test), "test": {id: pairs[id] for id in test}},
        looked_for={"train": "RGB/*.png", "test": "RGB/*.png"},
        read_label=read_label,
    )


def read_label(path: Path) -> Pixels:
    """Class indices uint8 [H, W]: the first channel has the class, the second the instance; raises BadInput."""
    raw_HW = first_channel(path)
    return looked_up(raw_HW.astype(np.uint16), FROM_IDS, path)


SYNTHIA = Layout(
    name="synthia",
    marks=("GT/LABELS",),
    task=TASK,
    note="no splits are distributed: test is every tenth image, val is held out of the others; "
    "terrain, truck and train never occur",
    find=find,
)
