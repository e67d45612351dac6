"""LabelMe: holes, shapes other than polygons, images within the JSON file, Windows paths."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.errors import BadInput


def shape(label: str, points: list[list[float]], kind: str = "polygon", **more: Any) -> dict:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, "group_id": None, **more}


def square(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def document(name: str, shapes: list[dict], **more: Any) -> dict:
    size = {"imageHeight": 20, "imageWidth": 30}
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None, **size, **more}


def png(flags: np.ndarray) -> str:
    content = BytesIO()
    Image.fromarray(flags.astype(np.uint8) * 255).save(content, format="PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_shapes_of_every_type(bench: Any, noted: Any) -> None:
    for name in "abc":
        bench.photo(f"{name}.jpg")
    ring = np.ones((6, 8), bool)
    ring[2:4, 2:5] = False
    bench.text(
        "a.json",
        document(
            "a.jpg",
            [
                shape("road", square(0, 0, 30, 10)),
                shape("_background_", square(4, 2, 8, 6)),  # a hole
                shape("car", square(5, 3, 7, 5)),  # and something in it
                shape("__ignore__", square(20, 0, 25, 10)),
                shape("sign", [[14, 14], [14, 17]], "circle"),
                shape("car", [[22, 12], [29, 17]], "mask", mask=png(ring)),
                shape("lane", [[1, 1], [5, 5]], "line"),
                shape("lane", [[1, 1], [5, 5], [7, 7]], "linestrip"),
                shape("lane", [[1, 1]], "point"),
            ],
        ),
    )
    # an outline that leads in and out again over one line, as holes are drawn with a single polygon
    keyhole = [[0, 0], [12, 0], [12, 12], [6, 12], [6, 8], [8, 8], [8, 4], [4, 4], [4, 8], [6, 8], [6, 12], [0, 12]]
    bench.text("b.json", document("b.jpg", [shape("road", keyhole), shape("car", [[20, 18], [16, 12]], "rectangle")]))
    bench.text("c.json", document("c.jpg", []))
    bench.photo("unlabelled.jpg")
    record = bench.imported("labelme", unlabelled="background", drop=("sign",))
    assert bench.classes() == ["background", "car", "road"]
    expected = bench.blank()
    expected[:10] = 2
    expected[2:6, 4:8] = 0
    expected[3:5, 5:7] = 1
    expected[:10, 20:25] = 255
    expected[12:18, 22:30][ring] = 1
    np.testing.assert_array_equal(bench.result("a"), expected)
    holed = bench.blank()
    holed[:12, :12] = 2
    holed[4:8, 4:8] = 0
    holed[12:18, 16:20] = 255
    np.testing.assert_array_equal(bench.result("b"), holed)
    assert not bench.result("c").any()
    counts = noted(record)
    assert counts["dropped", "line of lane"] == counts["dropped", "linestrip of lane"] == 1
    assert counts["dropped", "point of lane"] == 1
    assert counts["dropped", "region of sign"] == 1
    assert counts["dropped", "image"] == 1  # it has no JSON file
    assert counts["ignored", "rectangle of car"] == 1
    assert counts["read", "image without a label"] == 1


def test_circles_are_filled_by_pixel_centres(bench: Any) -> None:
    for name in "abc":
        bench.photo(f"{name}.jpg")
        bench.text(f"{name}.json", document(f"{name}.jpg", [shape("sign", [[10, 9], [13, 13]], "circle")]))
    bench.imported("labelme", unlabelled="background")
    ys, xs = np.mgrid[:20, :30] + 0.5
    np.testing.assert_array_equal(bench.result("a"), (xs - 10) ** 2 + (ys - 9) ** 2 <= 25)


def test_paths_of_windows_and_images_within_the_file(bench: Any) -> None:
    bench.photo("pictures/größe 1.jpg")
    inside = bench.photo("b.png").read_bytes()
    bench.photo("labels/c.jpg")
    (bench.source / "b.png").unlink()
    road = [shape("road", square(0, 0, 30, 20))]
    bench.text("labels/a.json", document("..\\pictures\\größe 1.jpg", road))
    bench.text("labels/b.json", document("b.png", road, imageData=base64.b64encode(inside).decode()))
    bench.text("labels/c.json", document("C:\\Users\\me\\c.jpg", [shape("car", square(0, 0, 30, 20))]))
    bench.imported("labelme")
    assert sorted(path.name for path in (bench.out / "images").iterdir()) == ["b.png", "c.jpg", "größe_1.jpg"]
    assert (bench.out / "images/b.png").read_bytes() == inside
    assert bench.classes() == ["car", "road"]


def test_the_order_of_labels_txt_is_the_order_of_the_classes(bench: Any) -> None:
    for name in "abc":
        bench.photo(f"{name}.jpg")
        shapes = [shape("car", square(0, 0, 30, 10)), shape("road", square(0, 10, 30, 20))]
        bench.text(f"{name}.json", document(f"{name}.jpg", shapes))
    bench.text("labels.txt", "__ignore__\n_background_\nroad\ntree\ncar\n")
    bench.imported("labelme")
    assert bench.classes() == ["road", "tree", "car"]


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/secret.jpg", "a\0.jpg", "", "x" * 300 + ".jpg"])
def test_names_that_lead_elsewhere_are_refused(bench: Any, name: str) -> None:
    (bench.source.parent.parent / "secret.jpg").write_bytes(bench.photo("a.jpg").read_bytes())
    path = bench.text("labels/a.json", document(name, [shape("road", square(0, 0, 30, 20))]))
    with pytest.raises(BadInput) as caught:
        bench.imported("labelme", unlabelled="background")
    assert f"{path}: " in str(caught.value)
    assert not bench.out.exists()
    (bench.source.parent.parent / "secret.jpg").unlink()


def test_faulty_shapes_are_listed_together_with_their_lines(bench: Any) -> None:
    bench.photo("a.jpg")
    shapes = [shape("road", [[1, 1], [2, 2]]), shape("", square(0, 0, 3, 3)), shape("car", [[1, "x"]], "polygon")]
    path = bench.text("a.json", document("a.jpg", [*shapes, shape("car", square(0, 0, 3, 3), "blob")]))
    broken = bench.text("b.json", '{"shapes": [],\n"imagePath": }')
    with pytest.raises(BadInput) as caught:
        bench.imported("labelme", unlabelled="background")
    message = str(caught.value)
    starts = [number for number, line in enumerate(path.read_text().splitlines(), start=1) if line == "  {"]
    for start, problem in zip(starts, ("4 numbers", "a shape needs a `label`", "numbers", "blob"), strict=True):
        assert problem in message.split(f"{path}:{start}: ")[1].splitlines()[0]
    assert f"{broken}:2: not valid JSON" in message


def test_labels_of_another_size_than_their_image(bench: Any) -> None:
    bench.photo("a.jpg")
    path = bench.text("a.json", document("a.jpg", [], imageHeight=30, imageWidth=20))
    with pytest.raises(BadInput, match=rf"{path}: labels of 30x20 pixels, but the image has 20x30"):
        bench.imported("labelme", unlabelled="background", classes=("road",))
