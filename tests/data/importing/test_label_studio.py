"""Label Studio: brushes, polygons in percent, several annotators, uploaded and local files."""

from typing import Any

import numpy as np
import pytest

from hardedge.errors import BadInput


def packed(alpha: np.ndarray) -> list[int]:
    """A brush as Label Studio packs it: 8-bit RGBA values, each by itself in a block of one run width."""
    values = np.repeat(alpha.reshape(-1, 1).astype(np.uint8) * 255, 4, axis=1).reshape(-1).tolist()
    bits = f"{len(values):032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    for start in range(0, len(values), 256):
        block = values[start : start + 256]
        bits += "0" + "10" + f"{len(block) - 1:08b}" + "".join(f"{value:08b}" for value in block)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def result(kind: str, value: dict, **more: Any) -> dict:
    size = {"original_width": 30, "original_height": 20, "image_rotation": 0}
    return {"type": kind, "from_name": "tag", "to_name": "image", "value": value, **size, **more}


def polygon(label: str, left: float, top: float, right: float, bottom: float) -> dict:
    across, down = 100 / 30, 100 / 20
    points = [[x * across, y * down] for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return result("polygonlabels", {"points": points, "closed": True, "polygonlabels": [label]})


def annotation(results: list[dict], **more: Any) -> dict:
    return {"completed_by": 1, "result": results, "was_cancelled": False, "updated_at": "2026-01-01", **more}


def test_brushes_polygons_and_annotators(bench: Any, noted: Any) -> None:
    for name in ("a.jpg", "3f2a9c1d-b.jpg", "deep/c é.jpg", "d.jpg"):
        bench.photo(f"images/{name}")
    stroke = np.random.default_rng(1).random(bench.size) < 0.2
    brush = result("brushlabels", {"format": "rle", "rle": packed(stroke), "brushlabels": ["crack"]})
    ellipse = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 20, "rotation": 0, "ellipselabels": ["hole"]}
    box = {"x": 0, "y": 80, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": ["hole"]}
    tasks = [
        {
            "id": 1,
            "data": {"image": "/data/upload/4/3f2a9c1d-a.jpg"},  # the name on disk is without the prefix
            "annotations": [
                annotation([polygon("hole", 0, 0, 30, 20)], was_cancelled=True),
                annotation([polygon("hole", 0, 0, 10, 10)]),
                annotation([polygon("road", 3, 2, 15, 12), brush], updated_at="2026-03-01"),
            ],
            "predictions": [annotation([polygon("hole", 0, 0, 30, 20)])],
        },
        {
            "id": 2,
            "data": {"image": "/data/upload/4/3f2a9c1d-b.jpg"},
            "annotations": [
                annotation(
                    [
                        result("ellipselabels", ellipse),
                        result("rectanglelabels", box),
                        result("keypointlabels", {"x": 1, "y": 1, "width": 1, "keypointlabels": ["hole"]}),
                        result("choices", {"choices": ["wet"]}),
                    ]
                )
            ],
        },
        {
            "id": 3,
            "data": {"url": "/data/local-files/?d=deep%2Fc%20%C3%A9.jpg"},
            "annotations": [annotation([])],
        },
        {"id": 4, "data": {"image": "s3://bucket/d.jpg"}, "annotations": []},
    ]
    bench.text("export.json", tasks)
    record = bench.imported("label-studio", unlabelled="background")
    assert bench.classes() == ["background", "crack", "hole", "road"]
    first = bench.blank()
    first[2:12, 3:15] = 3
    first[stroke] = 1
    np.testing.assert_array_equal(bench.result("a"), first)
    ys, xs = np.mgrid[:20, :30] + 0.5
    second = np.where(((xs - 15) / 6) ** 2 + ((ys - 10) / 4) ** 2 <= 1, 2, 0)
    second[16:, :6] = 255
    np.testing.assert_array_equal(bench.result("3f2a9c1d-b"), second)
    assert not bench.result("c_é").any()
    counts = noted(record)
    assert counts["dropped", "annotation"] == 1
    assert counts["dropped", "image"] == 1  # its task has no annotation
    assert counts["dropped", "result of type keypointlabels"] == 1
    assert counts["dropped", "result of type choices"] == 1
    assert counts["ignored", "rectangle of hole"] == 1


def test_faults_have_their_lines(bench: Any) -> None:
    bench.photo("a.jpg")
    turned = {**polygon("road", 0, 0, 3, 3), "image_rotation": 90}
    short = result("brushlabels", {"format": "rle", "rle": packed(np.ones((3, 3), bool)), "brushlabels": ["road"]})
    path = bench.text(
        "export.json",
        [
            {"data": {"image": "a.jpg"}, "annotations": [annotation([turned])]},
            {"data": {"image": "no.jpg"}, "annotations": [annotation([])]},
        ],
    )
    with pytest.raises(BadInput) as caught:
        bench.imported("label-studio", unlabelled="background")
    lines = path.read_text().splitlines()
    at = next(number for number, line in enumerate(lines, start=1) if '"result": [' in line) + 1
    second = [number for number, line in enumerate(lines, start=1) if line == " {"][1]
    assert f"{path}:{at}: the image is turned by 90 degrees" in str(caught.value)
    assert f"{path}:{second}: image no.jpg is not in" in str(caught.value)
    bench.text("export.json", [{"data": {"image": "a.jpg"}, "annotations": [annotation([short])]}])
    with pytest.raises(BadInput, match=rf"{path}:{at}: brush has 36 values, expected 4 for each of 20x30 pixels"):
        bench.imported("label-studio", unlabelled="background")
    bench.text("export.json", {"annotations": [], "data": {}})
    with pytest.raises(BadInput, match=r"export\.json:1: expected a list of tasks\. Export as JSON, not as JSON_MIN"):
        bench.imported("label-studio")
