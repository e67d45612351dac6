"""Files that were altered anywhere: a data set, or one message, never a traceback and never half a folder."""

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from hardedge.errors import BadInput

STRANGE = (None, True, 0, -1, 7, 3.5, 1e308, "", "x", "../x", "a\0", [], [[]], {}, [None], {"a": 1})
RING = [[2, 2], [12, 2], [12, 12], [2, 12]]
FLAT = [number for point in RING for number in point]
SIZE = {"original_width": 30, "original_height": 20}


def coco() -> dict:
    images = [{"id": n, "file_name": f"{name}.jpg", "height": 20, "width": 30} for n, name in enumerate("abc")]
    areas = ([FLAT], {"size": [20, 30], "counts": [100, 500]}, {"size": [20, 30], "counts": "T3d?"}, [])
    annotations = [
        {"id": n, "image_id": 0, "category_id": 1, "segmentation": area, "bbox": [1, 1, 5, 5], "iscrowd": n % 2}
        for n, area in enumerate(areas)
    ]
    categories = [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def labelme() -> dict:
    kinds = {"polygon": RING, "circle": RING[:2], "rectangle": RING[:3:2], "mask": RING[:3:2], "line": RING[:2]}
    shapes = [{"label": "road", "shape_type": kind, "points": points, "mask": "AA=="} for kind, points in kinds.items()]
    return {"shapes": shapes[:3], "imagePath": "a.jpg", "imageHeight": 20, "imageWidth": 30, "imageData": None}


def label_studio() -> list:
    values = (
        {"points": RING, "polygonlabels": ["road"], "closed": True},
        {"x": 1, "y": 1, "radiusX": 9, "radiusY": 9, "rotation": 3, "ellipselabels": ["road"]},
        {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 3, "rectanglelabels": ["road"]},
    )
    results = [{"type": "t", "value": value, "image_rotation": 0, **SIZE} for value in values]
    return [{"data": {"image": f"{name}.jpg"}, "annotations": [{"result": results}]} for name in "abc"]


def supervisely() -> dict:
    points = {"exterior": RING, "interior": [[[4, 4], [8, 4], [8, 8]]]}
    objects = [{"classTitle": "sky", "geometryType": kind, "points": points} for kind in ("polygon", "rectangle")]
    return {"size": {"height": 20, "width": 30}, "tags": [{"name": "train"}], "objects": objects}


CVAT = """<annotations><meta><task><labels><label><name>road</name><color>#010203</color></label></labels></task></meta>
<image id="0" name="a.jpg" width="30" height="20">
<polygon label="road" points="1,1;9,1;9,9" z_order="0"><attribute name="ignore">false</attribute></polygon>
<box label="road" xtl="1" ytl="1" xbr="9" ybr="9" rotation="3"/>
<ellipse label="road" cx="9" cy="9" rx="3" ry="4"/>
<mask label="road" rle="1,2,1" left="2" top="2" width="2" height="2"/>
</image><image id="1" name="b.jpg" width="30" height="20"/><image id="2" name="c.jpg" width="30" height="20"/>
</annotations>"""
YOLO = "0 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.5 0.5 0.2 0.2\n"
YAML = "path: .\ntrain: images\nval: val.txt\nnames: [road, car]\n"
DOCUMENTS = {
    "coco": ("instances.json", coco),
    "labelme": ("a.json", labelme),
    "label-studio": ("export.json", label_studio),
    "supervisely": ("ds/ann/a.jpg.json", supervisely),
}
TEXTS = {
    "cvat": ("annotations.xml", CVAT),
    "ultralytics": ("labels/a.txt", YOLO),
    "ultralytics.yaml": ("data.yaml", YAML),
}


def altered(value: Any, random: Random) -> Any:
    """The document with one of its values, at any depth, replaced or taken away."""
    places = list(places_in(value))
    holder, key = random.choice(places)
    if random.random() < 0.2:
        del holder[key]
    else:
        holder[key] = random.choice(STRANGE)
    return value


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(inner):
        yield value, key
        yield from places_in(entry)


def altered_text(text: str, random: Random) -> str:
    place = random.randrange(len(text))
    end = place + random.randrange(1, 6)
    return text[:place] + random.choice(("", "9", "-", "x", '"', "<", "\n", "\0", "1e999", "ä", ",;")) + text[end:]


def prepared(bench: Any, format: str) -> Any:
    folder = {"supervisely": "ds/img/", "ultralytics": "images/", "ultralytics.yaml": "images/"}.get(format, "")
    for name in "abc":
        bench.photo(f"{folder}{name}.jpg")
    if format == "labelme":
        for name in "bc":
            bench.text(f"{name}.json", labelme() | {"imagePath": f"{name}.jpg"})
    if format == "supervisely":
        bench.text("meta.json", {"classes": [{"title": "sky"}, {"title": "tree"}]})
        for name in "bc":
            bench.text(f"ds/ann/{name}.jpg.json", supervisely())
    if format.startswith("ultralytics"):
        bench.text("data.yaml", YAML)
        bench.text("val.txt", "images/c.jpg\n")
    return bench


def message_of_import(bench: Any, format: str, number: int) -> str:
    attempt = replace(bench, out=bench.out.with_name(f"out{number}"))
    try:
        attempt.imported(format.partition(".")[0], unlabelled="background")
    except BadInput as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert not attempt.out.exists()
        return refused
    masks = [np.unique(attempt.result(path.stem)) for path in (attempt.out / "masks").iterdir()]
    assert all(set(values.tolist()) <= {0, 1, 2, 3, 255} for values in masks)
    return ""


@pytest.mark.parametrize("format", DOCUMENTS)
def test_documents_with_one_value_altered(bench: Any, format: str) -> None:
    name, document = DOCUMENTS[format]
    prepared(bench, format)
    bench.text(name, document())
    assert message_of_import(bench, format, -1) == ""
    random = Random(format)
    outcomes = set()
    for number in range(40):
        content = altered(json.loads(json.dumps(document())), random)
        bench.text(name, json.dumps(content, indent=1))
        outcomes.add(message_of_import(bench, format, number) == "")
    assert outcomes == {True, False}


@pytest.mark.parametrize("format", TEXTS)
def test_texts_with_a_few_letters_altered(bench: Any, format: str) -> None:
    name, text = TEXTS[format]
    prepared(bench, format)
    bench.text(name, text)
    assert message_of_import(bench, format, -1) == ""
    random = Random(format)
    outcomes = set()
    for number in range(40):
        bench.text(name, altered_text(text, random))
        outcomes.add(message_of_import(bench, format, number) == "")
    assert outcomes == {True, False}
