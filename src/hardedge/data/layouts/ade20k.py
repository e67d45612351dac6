"""ADE20K as in the scene parsing challenge of 2016 (Zhou et al., CVPR 2017): 150 classes, label 0 ignored."""

from pathlib import Path

from hardedge.data.layouts.layout import (
    IGNORED,
    Layout,
    Listing,
    distinct_colors,
    images_below,
    label_reader,
    table_of,
    task_of,
)

# the first name of each line of objectInfo150.txt
_NAMES = (
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, "
    "door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, "
    "field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, "
    "signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, "
    "stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee "
    "table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, "
    "boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, "
    "television, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, "
    "poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, "
    "basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, "
    "animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, "
    "ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag"
)
NAMES = tuple(_NAMES.split(", "))
FROM_LABELS = table_of({0: IGNORED} | {label: label - 1 for label in range(1, 151)})
FOLDERS = {"train": "training", "test": "validation"}


def find(root: Path) -> Listing:
    """images/{training,validation}/*.jpg with annotations/{training,validation}/*.png.

    Layout, names and "0 refers to other objects", which the benchmark leaves out: README.md and objectInfo150.txt of
    CSAILVision/sceneparsing (read; sure). The colours are ours, for pictures only.
    """
    return Listing(
        pairs={
            split: {
                path.stem: (path, root / "annotations" / folder / f"{path.stem}.png")
                for path in images_below(root / "images" / folder)
            }
            for split, folder in FOLDERS.items()
        },
        looked_for={split: f"images/{folder}/*.jpg" for split, folder in FOLDERS.items()},
        read_label=label_reader(FROM_LABELS),
    )


ADE20K = Layout(
    name="ade20k",
    marks=("images/training",),
    task=task_of(NAMES, distinct_colors(len(NAMES))),
    note="test is ADE20K's own validation, as its test labels are not public; val is held out of training",
    find=find,
)
