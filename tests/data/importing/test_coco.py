"""COCO instances and panoptic: polygons, run lengths, crowds, boxes, overlaps, class order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.errors import BadInput

CATEGORIES = [{"id": 7, "name": "car"}, {"id": 3, "name": "road"}, {"id": 9, "name": "person"}]
ROAD, CAR, PERSON = 1, 2, 3  # after background, in the order of the ids


def annotation(image: int, category: int, segmentation: Any, **more: Any) -> dict:
    return {"id": 0, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0, **more}


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def runs_of(flags: np.ndarray) -> list[int]:
    """Run lengths down the columns, outside first."""
    flat = flags.T.reshape(-1).astype(int)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], flat]))) if flat[0] == 0 else np.flatnonzero(np.diff(flat)) + 1
    places = [0, *([] if flat[0] == 0 else [0]), *ends.tolist(), len(flat)]
    return np.diff(places).tolist()


def compressed(counts: list[int]) -> str:
    """COCO's string of run lengths, written from its description: 5 bits a letter, differences from the fourth on."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr(48 + (bits | 0x20 if more else bits))
    return text


@pytest.fixture
def coco(bench: Any) -> Callable[..., None]:
    def write(annotations: list[dict], images: tuple[str, ...] = ("a.jpg", "b.jpg", "c.jpg"), **more: Any) -> None:
        entries = [{"id": n + 1, "file_name": name, "height": 20, "width": 30} for n, name in enumerate(images)]
        for name in images:
            bench.photo(f"images/{name}")
        document = {"images": entries, "annotations": annotations, "categories": CATEGORIES, **more}
        bench.text("annotations/instances.json", document)

    return write


def test_polygons_runs_and_overlaps(coco: Callable[..., None], bench: Any, noted: Any) -> None:
    ring = np.zeros(bench.size, bool)
    ring[2:18, 2:12] = True
    ring[6:12, 5:9] = False  # a hole, as only run lengths have it
    dots = np.random.default_rng(0).random(bench.size) < 0.3
    coco(
        [
            annotation(1, 7, [rectangle(4, 4, 10, 10), rectangle(14, 4, 20, 10)]),
            annotation(1, 3, [rectangle(0, 0, 30, 12)]),  # larger: painted first, whatever its place
            annotation(2, 7, {"size": [20, 30], "counts": runs_of(ring)}),
            annotation(3, 9, {"size": [20, 30], "counts": compressed(runs_of(dots))}),
            annotation(3, 9, {"size": [20, 30], "counts": compressed(runs_of(dots))}),
        ]
    )
    record = bench.imported("coco", unlabelled="background")
    assert bench.classes() == ["background", "road", "car", "person"]
    first = bench.blank()
    first[:12, :] = ROAD
    first[4:10, 4:10] = first[4:10, 14:20] = CAR
    np.testing.assert_array_equal(bench.result("a"), first)
    np.testing.assert_array_equal(bench.result("b"), np.where(ring, CAR, 0))
    np.testing.assert_array_equal(bench.result("c"), np.where(dots, PERSON, 0))
    assert noted(record) == {
        ("read", "image"): 3,
        ("merged", "region of person"): 1,
        ("overlapped", "pixel of road"): 72,
    }
    assert {entry.label: (entry.becomes, entry.regions) for entry in record.labels} == {
        "road": ("road", 1),
        "car": ("car", 2),
        "person": ("person", 1),
    }


@pytest.mark.parametrize(("order", "top"), [("area", CAR), ("file", ROAD), ("priority", CAR)])
def test_what_lies_over_what_is_a_stated_order(coco: Callable[..., None], bench: Any, order: str, top: int) -> None:
    coco([annotation(1, 7, [rectangle(4, 4, 10, 10)]), annotation(1, 3, [rectangle(0, 0, 30, 20)])])
    bench.imported("coco", unlabelled="background", order=order)
    assert bench.result("a")[5, 5] == top
    assert bench.result("a")[15, 5] == ROAD


@pytest.mark.parametrize(("crowds", "value"), [("fill", PERSON), ("ignore", 255), ("drop", 0)])
def test_crowds_lie_beneath_and_become_what_is_said(
    coco: Callable[..., None], bench: Any, noted: Any, crowds: str, value: int
) -> None:
    crowd = np.zeros(bench.size, bool)
    crowd[3:9, 3:9] = True
    coco(
        [
            annotation(1, 3, [rectangle(0, 0, 6, 20)]),
            annotation(1, 9, {"size": [20, 30], "counts": runs_of(crowd)}, iscrowd=1),
        ]
    )
    record = bench.imported("coco", unlabelled="background", crowds=crowds)
    assert bench.result("a")[5, 7] == value
    assert bench.result("a")[5, 4] == ROAD
    expected = {"ignore": {("ignored", "crowd of person"): 1}, "drop": {("dropped", "crowd of person"): 1}}
    assert expected.get(crowds, {}).items() <= noted(record).items()


@pytest.mark.parametrize(("boxes", "value"), [("ignore", 255), ("fill", CAR), ("drop", 0)])
@pytest.mark.parametrize("segmentation", [[], None, [[]]], ids=str)
def test_boxes_alone_are_never_background_by_accident(
    coco: Callable[..., None], bench: Any, segmentation: Any, boxes: str, value: int
) -> None:
    coco([annotation(1, 7, segmentation, bbox=[2, 3, 8, 5]), annotation(1, 3, [rectangle(0, 0, 4, 20)])])
    bench.imported("coco", unlabelled="background", boxes=boxes)
    expected = bench.blank()
    expected[3:8, 2:10] = value
    expected[:, :4] = ROAD
    if boxes == "fill":  # of 40 pixels, the road of 80: the smaller one on top
        expected[3:8, 2:4] = CAR
    np.testing.assert_array_equal(bench.result("a"), expected)


def test_images_without_annotation_are_all_background(coco: Callable[..., None], bench: Any, noted: Any) -> None:
    coco([annotation(1, 3, [rectangle(0, 0, 30, 10)])])
    record = bench.imported("coco", unlabelled="background")
    assert not bench.result("b").any()
    assert noted(record)["read", "image without a label"] == 2


def test_pixels_without_a_label_are_never_anything_by_accident(coco: Callable[..., None], bench: Any) -> None:
    coco([annotation(n, 3, [rectangle(0, 0, 30, 10)]) for n in (1, 2, 3)])
    with pytest.raises(BadInput, match=r"50\.0 % of the pixels have no label.*--unlabelled"):
        bench.imported("coco")
    assert not bench.out.exists()
    bench.imported("coco", unlabelled="ignore")
    assert bench.classes() == ["road", "car", "person"]
    assert bench.result("a")[:10].max() == 0
    assert bench.result("a")[10:].min() == 255


def test_splits_by_file_windows_paths_and_names_beyond_ascii(bench: Any) -> None:
    for split, names in {"train": ("ä.jpg", "b c.jpg"), "val": ("deep\\d.jpg",), "test": ("日本.jpg",)}.items():
        images = []
        for number, name in enumerate(names):
            bench.photo(f"{split}2017/{name}".replace("\\", "/"))
            images.append({"id": number, "file_name": name, "height": 20, "width": 30})
        document = {"images": images, "annotations": [], "categories": CATEGORIES}
        bench.text(f"annotations/instances_{split}2017.json", document)
    bench.text("annotations/captions_train2017.json", {"images": [], "annotations": []})
    bench.imported("coco", unlabelled="background")
    assert bench.split("train") == ["b_c", "ä"]
    assert bench.split("val") == ["d"]
    assert bench.split("test") == ["日本"]
    assert sorted(path.name for path in (bench.out / "images").iterdir()) == ["b_c.jpg", "d.jpg", "ä.jpg", "日本.jpg"]


def test_panoptic_segments(bench: Any, noted: Any) -> None:
    segments = bench.blank().astype(np.int64)
    segments[:10] = 65536 * 2 + 256 * 5 + 17
    segments[10:15, :15] = 300
    segments[10:15, 15:] = 9
    for name in "abc":
        bench.photo(f"val2017/{name}.jpg")
        colors = np.stack([segments % 256, segments // 256 % 256, segments // 65536], -1).astype(np.uint8)
        (bench.source / "panoptic_val2017").mkdir(exist_ok=True)
        Image.fromarray(colors).save(bench.source / f"panoptic_val2017/{name}.png")
    info = [{"id": 132369, "category_id": 3}, {"id": 300, "category_id": 7}, {"id": 9, "category_id": 9, "iscrowd": 1}]
    document = {
        "images": [{"id": n, "file_name": f"{name}.jpg", "height": 20, "width": 30} for n, name in enumerate("abc")],
        "annotations": [
            {"image_id": n, "file_name": f"{name}.png", "segments_info": info} for n, name in enumerate("abc")
        ],
        "categories": [{**entry, "color": [entry["id"], 0, 0]} for entry in CATEGORIES],
    }
    bench.text("panoptic_val2017.json", document)
    record = bench.imported("coco-panoptic", unlabelled="ignore", crowds="ignore")
    expected = bench.blank(255)
    expected[:10], expected[10:15, :15] = 0, 1
    np.testing.assert_array_equal(bench.result("a"), expected)
    assert noted(record)["ignored", "crowd of person"] == 3
    document["annotations"][1]["segments_info"] = info[:2]
    path = bench.text("panoptic_val2017.json", document)
    with pytest.raises(BadInput, match=rf"{path}:\d+: value segment 9 \(75 pixels\) is no label"):
        replace(bench, out=bench.out.with_name("other")).imported("coco-panoptic", unlabelled="ignore")


def test_all_faults_in_one_message_with_file_and_line(coco: Callable[..., None], bench: Any) -> None:
    coco(
        [
            annotation(1, 3, [rectangle(0, 0, 30, 10)]),
            annotation(9, 3, [rectangle(0, 0, 30, 10)]),
            annotation(1, 4, [rectangle(0, 0, 30, 10)]),
            annotation(1, 3, [[1, 2, 3, 4]]),
            annotation(1, 3, [[1, 2, 3, 4, 5, "six"]]),
            annotation(1, 3, {"size": [20, 30], "counts": 5}),
        ],
        images=("a.jpg", "b.jpg"),
    )
    path = bench.source / "annotations/instances.json"
    (bench.source / "images/b.jpg").unlink()
    lines = path.read_text().splitlines()
    annotations = lines.index(' "annotations": [')
    starts = [number for number, line in enumerate(lines, start=1) if line == "  {" and number > annotations]
    with pytest.raises(BadInput) as caught:
        bench.imported("coco", unlabelled="background")
    message = str(caught.value)
    for start, problem in zip(
        starts[1:],
        ("image_id 9", "category_id 4", "4 numbers", "corners must be numbers", "`counts` must be"),
        strict=False,
    ):
        assert f"{path}:{start}: " in message
        assert problem in message.split(f"{path}:{start}: ")[1].splitlines()[0]
    assert "image b.jpg is not in" in message
    assert not bench.out.exists()


def test_runs_of_another_size_are_a_fault_of_their_line(coco: Callable[..., None], bench: Any) -> None:
    coco([annotation(1, 3, {"size": [20, 31], "counts": [620]})])
    with pytest.raises(BadInput, match=r"instances\.json:\d+: run lengths are of 20x31 pixels, but its image is 20x30"):
        bench.imported("coco", unlabelled="background")
    coco([annotation(1, 3, {"size": [20, 30], "counts": [620]})])
    with pytest.raises(BadInput, match=r"instances\.json:\d+: run lengths add up to 620, but there are 600 pixels"):
        bench.imported("coco", unlabelled="background")


def test_text_that_is_no_json_has_its_line(bench: Any) -> None:
    path = bench.text("x.json", '{"images": [],\n "annotations": [],\n "categories": [,]}')
    with pytest.raises(BadInput, match=rf"{path}:3: not valid JSON"):
        bench.imported("coco")
