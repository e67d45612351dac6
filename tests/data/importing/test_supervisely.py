"""Supervisely: polygons with holes, packed bitmaps, splits by tag and data set."""

import base64
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.errors import BadInput


def packed(flags: np.ndarray, mode: str) -> str:
    """A bitmap as Supervisely stores it: a PNG, deflated, in base64."""
    image = Image.fromarray(flags.astype(np.uint8) * 255)
    if mode == "RGBA":
        image = Image.merge("RGBA", [image.point(lambda value: 255), image, image, image])
    content = BytesIO()
    image.convert(mode).save(content, format="PNG")
    return base64.b64encode(zlib.compress(content.getvalue())).decode()


def annotated(objects: list[dict], **more: Any) -> dict:
    return {"description": "", "tags": [], "size": {"height": 20, "width": 30}, "objects": objects, **more}


@pytest.mark.parametrize("mode", ["1", "L", "RGBA"])
def test_polygons_with_holes_and_bitmaps(bench: Any, noted: Any, mode: str) -> None:
    classes = [{"title": "sky", "shape": "any", "color": "#0000FF"}, {"title": "tree", "color": "#00FF00"}]
    bench.text("meta.json", {"classes": classes, "tags": []})
    for name in ("a.jpg", "b.png", "c.jpg"):
        bench.photo(f"ds/img/{name}")
    ring = {"exterior": [[2, 2], [12, 2], [12, 12], [2, 12]], "interior": [[[4, 4], [8, 4], [8, 8], [4, 8]]]}
    dots = np.random.default_rng(0).random((6, 7)) < 0.5
    objects = [
        {"classTitle": "sky", "geometryType": "polygon", "points": ring},
        {"classTitle": "tree", "geometryType": "bitmap", "bitmap": {"data": packed(dots, mode), "origin": [20, 10]}},
        {"classTitle": "tree", "geometryType": "rectangle", "points": {"exterior": [[1, 15], [5, 19]], "interior": []}},
        {"classTitle": "tree", "geometryType": "line", "points": {"exterior": [[1, 1], [3, 3]], "interior": []}},
    ]
    bench.text("ds/ann/a.jpg.json", annotated(objects, tags=[{"name": "val"}]))
    bench.text("ds/ann/b.png.json", annotated([], tags=[{"name": "train"}]))
    bench.text("ds/ann/c.json", annotated([], tags=[{"name": "test"}]))
    record = bench.imported("supervisely", unlabelled="background")
    expected = bench.blank()
    expected[2:12, 2:12] = 1
    expected[4:8, 4:8] = 0
    expected[10:16, 20:27][dots] = 2
    expected[15:19, 1:5] = 255
    np.testing.assert_array_equal(bench.result("a"), expected)
    assert [bench.split(name) for name in ("train", "val", "test")] == [["b"], ["a"], ["c"]]
    assert noted(record)["dropped", "line of tree"] == 1
    assert noted(record)["ignored", "rectangle of tree"] == 1


def test_faults_are_listed_together(bench: Any) -> None:
    bench.text("meta.json", {"classes": [{"title": "sky"}, {"name": "tree"}], "tags": []})
    for name in ("a.jpg", "b.jpg"):
        bench.photo(f"ds/img/{name}")
    bitmap = {"classTitle": "sky", "geometryType": "bitmap", "bitmap": {"data": "AAAA", "origin": [0, 0]}}
    path = bench.text("ds/ann/a.jpg.json", annotated([bitmap, {"geometryType": "polygon"}]))
    with pytest.raises(BadInput) as caught:
        bench.imported("supervisely", unlabelled="background")
    message = str(caught.value)
    starts = [number for number, line in enumerate(path.read_text().splitlines(), start=1) if line == "  {"]
    assert f"{path}:{starts[0]}: bitmap `data` cannot be read" in message
    assert f"{path}:{starts[1]}: an object needs a text `classTitle`" in message
    assert f"{bench.source / 'meta.json'}:6: a class needs a text `title`" in message
    assert f"{bench.source / 'ds/img/b.jpg'}: no annotation ann/b.jpg.json" in message
