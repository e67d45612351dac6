"""Images by hardness, labels by doubt: against values that can be counted by hand, and a inserted wrong label."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hardedge.cli import cli
from hardedge.contracts import ClassInfo, Task
from hardedge.errors import BadInput
from hardedge.train.hard.gallery import surroundings
from hardedge.train.hard.ranking import Seen, doubted_labels, hardest_window, images_of, rank_hard, sort_by_doubt

TASK = Task(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in ("sky", "road", "car")), ignore_index=255)


def seen_of(predicted_HW: np.ndarray, confidence: float, hardness: float = 0.5) -> Seen:
    """A network that is sure of a class to one degree everywhere, the rest shared by the others."""
    probability_CHW = np.full((3, *predicted_HW.shape), (1 - confidence) / 2, np.float32)
    np.put_along_axis(probability_CHW, predicted_HW[None].astype(np.int64), confidence, axis=0)
    return Seen(np.full(predicted_HW.shape, hardness, np.float32), probability_CHW)


def test_a_region_is_doubted_by_what_the_network_says_there() -> None:
    label_HW = np.zeros((8, 12), np.uint8)
    label_HW[4:] = 1
    label_HW[:, 10:] = 255
    predicted_HW = label_HW % 255
    predicted_HW[:4] = 2
    sky, road = doubted_labels("a", "val", seen_of(predicted_HW, 0.8), label_HW, TASK, smallest=1)
    assert (sky.label, sky.predicted, sky.box, sky.pixels) == ("sky", "car", (0, 0, 4, 10), 40)
    assert sky.disagreement == pytest.approx(0.7)
    assert sky.hardness == pytest.approx(0.5)
    assert (road.label, road.predicted, road.disagreement) == ("road", "road", 0.0)


def test_small_regions_and_ignored_pixels_are_left_out() -> None:
    label_HW = np.full((8, 8), 255, np.uint8)
    label_HW[0, :3] = 0
    label_HW[5:, 5:] = 2
    found = list(doubted_labels("a", "val", seen_of(label_HW % 255, 0.9), label_HW, TASK, smallest=4))
    assert [(region.label, region.pixels) for region in found] == [("car", 9)]


def test_two_regions_of_a_class_that_touch_by_a_corner_are_two() -> None:
    label_HW = np.array([[0, 1], [1, 0]], np.uint8).repeat(4, 0).repeat(4, 1)
    assert len(list(doubted_labels("a", "val", seen_of(label_HW, 0.9), label_HW, TASK, smallest=1))) == 4


def test_a_class_that_is_always_missed_is_doubted_less() -> None:
    label_HW = np.array([[0, 1], [1, 0]], np.uint8).repeat(4, 0).repeat(4, 1)
    predicted_HW = np.where(label_HW == 1, 2, label_HW)  # every road is called car
    predicted_HW[4:, 4:] = 2  # and one of the skies
    regions = sort_by_doubt(list(doubted_labels("a", "val", seen_of(predicted_HW, 0.8), label_HW, TASK, smallest=1)))
    assert [region.label for region in regions] == ["sky", "road", "road", "sky"]
    assert [region.doubt for region in regions] == pytest.approx([0.35, 0, 0, -0.35], abs=1e-6)


def test_the_hardest_window_is_where_the_mean_is_highest() -> None:
    hardness_HW = np.zeros((16, 20), np.float32)
    hardness_HW[9:12, 13:18] = 1
    top, left, height, width = hardest_window(hardness_HW)
    assert (height, width) == (4, 5)
    assert hardness_HW[top : top + height, left : left + width].sum() == 15
    assert hardest_window(np.ones((2, 3), np.float32)) == (0, 0, 1, 1)


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (190, 290, 10, 10), (0, 0, 200, 300), (50, 60, 150, 20)])
def test_the_part_shown_holds_the_region_and_lies_inside(box: tuple[int, int, int, int]) -> None:
    top, left, height, width = surroundings(box, (200, 300))
    assert top >= 0
    assert left >= 0
    assert top + height <= 200
    assert left + width <= 300
    assert top <= box[0]
    assert left <= box[1]
    assert top + height >= box[0] + box[2]
    assert left + width >= box[1] + box[3]
    assert height >= 96
    assert width >= 96


def test_a_inserted_label_leads_the_list(
    finished: Path, tmp_path: Path, make_tiny_dataset: Callable[..., Path]
) -> None:
    """A few steps of training know road from sky: half of a road that is labelled sky stands out."""
    data = make_tiny_dataset(tmp_path / "data", test=9)
    path = data / "masks/scene008.png"
    label_HW = np.asarray(Image.open(path)).copy()
    label_HW[-16:, :48] = 0
    Image.fromarray(label_HW).save(path)
    extra = tmp_path / "extra"
    extra.mkdir()
    Image.open(data / "images/scene000.png").save(extra / "new <1>.png")
    arguments = ["hard", data, "--checkpoint", finished / "run/checkpoint", "--out", tmp_path / "out"]
    done = CliRunner().invoke(cli, [*map(str, arguments), "--split", "test", "--unlabelled", str(extra), "--json"])
    assert done.exit_code == 0, done.output
    ranking = json.loads((tmp_path / "out/hard.json").read_text())
    first = ranking["labels"][0]
    assert (first["id"], first["label"], first["predicted"], first["box"]) == (
        *("scene008", "sky", "road"),
        [48, 0, 16, 48],
    )
    images = ranking["images"]
    assert len(images) == 10
    assert [image["hardness"] for image in images] == sorted((image["hardness"] for image in images), reverse=True)
    assert [image["split"] for image in images].count(None) == 1
    page = (tmp_path / "out/hard.html").read_text()
    assert "labelled sky, predicted road" in page
    assert "new &lt;1&gt;.png" in page
    assert "<script" not in page
    assert "http" not in page


def test_other_classes_and_an_empty_folder_are_refused(finished: Path, tmp_path: Path, tiny_dataset: Path) -> None:
    with pytest.raises(BadInput, match=r"has no .* file\. Give a folder with images"):
        images_of(tmp_path)
    described = json.loads((tiny_dataset / "classes.json").read_text())
    described["classes"][0]["name"] = "heaven"
    (tiny_dataset / "classes.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match=r"was trained on other classes \(sky, road, car\) than .* has \(heaven, road"):
        rank_hard(tiny_dataset, finished / "run/checkpoint", tmp_path / "out")
    assert not (tmp_path / "out").exists()
