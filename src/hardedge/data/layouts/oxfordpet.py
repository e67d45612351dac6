"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012): trimaps as three classes."""

from pathlib import Path

from hardedge.data.layouts.layout import Layout, Listing, label_reader, names_in, table_of, task_of

FROM_TRIMAPS = table_of({1: 0, 2: 1, 3: 2})
LISTS = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}


def find(root: Path) -> Listing:
    """images/ID.jpg with annotations/trimaps/ID.png for the ids of annotations/{trainval,test}.txt.

    Trimaps: 1 foreground, 2 background, 3 "not classified" (the set's annotations/README; read, sure). The third is the
    outline of the pet, and a class of its own, as in PAT's released code (KhoiDOO/ibla, dataset/ox.py).
    """
    return Listing(
        pairs={
            split: {
                id: (root / f"images/{id}.jpg", root / f"annotations/trimaps/{id}.png") for id in names_in(root / ids)
            }
            for split, ids in LISTS.items()
        },
        looked_for={split: f"ids in {path}" for split, path in LISTS.items()},
        read_label=label_reader(FROM_TRIMAPS),
    )


OXFORDPET = Layout(
    name="oxfordpet",
    marks=("annotations/trimaps",),
    task=task_of(("pet", "background", "outline"), ((220, 20, 60), (70, 130, 180), (250, 170, 30))),
    note="val is held out of trainval",
    find=find,
)
