"""COCO-Stuff 164k (Caesar et al., CVPR 2018): 171 classes from the pixel maps, 255 ignored."""

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

# labels.txt without 0 (unlabelled) and without the ids of ABSENT
_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining "
    "table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, banner, blanket, branch, "
    "bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, "
    "clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-"
    "stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other, "
    "hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, "
    "pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, "
    "salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, "
    "table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-"
    "stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood"
)
NAMES = tuple(_NAMES.split(", "))
# street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush: no pixel has them
ABSENT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
IDS = tuple(id for id in range(1, 183) if id not in ABSENT)
# the pixel maps hold id - 1
FROM_PIXEL_MAPS = table_of({id - 1: index for index, id in enumerate(IDS)} | {IGNORED: IGNORED})
FOLDERS = {"train": "train2017", "test": "val2017"}


def find(root: Path) -> Listing:
    """images/{train2017,val2017}/*.jpg with annotations/{train2017,val2017}/*.png from stuffthingmaps_trainval2017.

    Layout, ids and "indices 0-181 and 255": README.md and labels.txt of nightrome/cocostuff (read; sure). That each
    index is the id minus one follows from both. The colours are ours, for pictures only.
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
        read_label=label_reader(FROM_PIXEL_MAPS),
    )


COCOSTUFF = Layout(
    name="cocostuff",
    marks=("images/train2017",),
    task=task_of(NAMES, distinct_colors(len(NAMES))),
    note="test is val2017, as the test labels are not public; val is held out of train2017",
    find=find,
)
