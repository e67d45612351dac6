"""classes.json: a sentence for each mistake with the value found, all of one file together, and mask values mapped."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import ClassInfo
from hardedge.contracts.files import parse_json
from hardedge.data.classes import read_classes
from hardedge.data.opening import open_dataset
from hardedge.data.sharding import write_shards
from hardedge.errors import BadInput

ROAD, CAR = {"name": "road", "color": [128, 64, 128]}, {"name": "car", "color": [0, 0, 142]}


def _write(root: Path, content: object) -> Path:
    (root / "classes.json").write_text(json.dumps(content), encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"classes": [ROAD]}, "1 class (road), but a mask needs 2 or more"),
        ({"classes": []}, "no class, but a mask needs 2 or more"),
        (
            {"classes": [{"name": f"c{k}", "color": [0, 0, 0]} for k in range(300)]},
            "300 classes, but an 8-bit mask holds 255",
        ),
        ({"classes": [ROAD, CAR], "ignore_index": 1}, "ignore_index 1 is the index of class car. Use 255"),
        ({"classes": [ROAD, CAR], "ignore_index": 256}, "ignore_index is 256, expected a whole number of 0 to 255"),
        ({"classes": [ROAD, CAR], "ignore_index": "255"}, 'ignore_index is "255", expected a whole number'),
        ({"classes": [ROAD, CAR], "ignore_index": True}, "ignore_index is true, expected a whole number"),
        ({"classes": [ROAD, CAR, ROAD]}, "classes 0, 2 are all named road"),
        ({"classes": [ROAD, "car"]}, 'classes[1] is "car", expected an object with a name and a color'),
        ({"classes": [ROAD, {"name": "car"}]}, "classes[1].color is missing, expected three numbers"),
        ({"classes": [ROAD, {"name": "", "color": [0, 0, 0]}]}, 'classes[1].name is "", expected printable text'),
        ({"classes": [ROAD, {"name": "a\x1b[2J", "color": [0, 0, 0]}]}, "classes[1].name is"),
        (
            {"classes": [ROAD, {"name": "car", "color": "#00008e"}]},
            'classes[1].color is "#00008e", a hex colour. Write it as [0, 0, 142]',
        ),
        ({"classes": [ROAD, {"name": "car", "color": ["0", 0, 0]}]}, 'classes[1].color has "0", expected whole'),
        ({"classes": [ROAD, {"name": "car", "color": [300, 0, 0]}]}, "classes[1].color has 300, expected whole"),
        ({"classes": [ROAD, {"name": "car", "color": [-1, 0, 0]}]}, "classes[1].color has -1, expected whole"),
        ({"classes": [ROAD, {"name": "car", "color": [0.5, 0, 0]}]}, "classes[1].color has 0.5, expected whole"),
        ({"classes": [ROAD, {"name": "car", "color": [0, 0]}]}, "classes[1].color is [0, 0], expected three numbers"),
        ({"classes": [ROAD, CAR], "values": [1, 2]}, "values is [1, 2], expected what mask values mean"),
        ({"classes": [ROAD, CAR], "values": {"x": 0}}, 'values has the key "x", expected a mask value'),
        ({"classes": [ROAD, CAR], "values": {"256": 0}}, 'values has the key "256", expected a mask value'),
        ({"classes": [ROAD, CAR], "values": {"1": 2}}, 'values["1"] is 2, expected a class index of 0 to 1'),
        ({"classes": {"road": 0}}, "no list `classes` in it"),
        ([], "no list `classes` in it"),
    ],
)
def test_each_mistake_is_one_sentence_with_what_was_found(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_classes(_write(tmp_path, content))
    message = str(caught.value)
    assert said in message
    assert len(message.splitlines()) <= 3
    assert '{"ignore_index": 255, "classes": [{"name": "road"' in message
    assert "with this version" not in message


def test_the_mistakes_of_one_file_are_told_together(tmp_path: Path) -> None:
    content = {"ignore_index": 0, "classes": [ROAD, {"name": "road", "color": [0, 0, 999]}]}
    with pytest.raises(BadInput) as caught:
        read_classes(_write(tmp_path, content))
    for said in ("has 999", "all named road", "ignore_index 0 is the index of class road"):
        assert said in str(caught.value)


@pytest.mark.parametrize("content", ["{", '{"classes": [,]}', "[" * 100_000])
def test_text_that_is_not_json_is_told_with_its_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(BadInput, match=r"classes\.json(, line 1: not JSON| cannot be read)"):
        read_classes(tmp_path)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps({"classes": [ROAD, CAR]}), encoding="utf-8-sig")
    assert [info.name for info in read_classes(tmp_path).task.classes] == ["road", "car"]


@pytest.mark.parametrize("value", [-1, 256])
def test_a_contract_bounds_colours_too(value: int) -> None:
    with pytest.raises(BadInput, match="color"):
        parse_json(ClassInfo, json.dumps({"name": "a", "color": [0, value, 0]}).encode(), "bundle.json")


def test_labels_from_1_with_0_to_ignore_are_class_indices_everywhere(tiny_dataset: Path, tmp_path: Path) -> None:
    expected = {id: open_dataset(tiny_dataset).mask(id) for id in ("scene000", "scene006")}
    content = json.loads((tiny_dataset / "classes.json").read_text())
    content["values"] = {"0": 255, "1": 0, "2": 1, "3": 2}
    _write(tiny_dataset, content)
    for path in (tiny_dataset / "masks").iterdir():
        values_HW = np.asarray(Image.open(path))
        Image.fromarray(np.where(values_HW == 255, 0, values_HW + 1).astype(np.uint8)).save(path)
    write_shards(tiny_dataset, tmp_path / "sharded", shards=1)
    for dataset in (open_dataset(tiny_dataset), open_dataset(tmp_path / "sharded")):
        assert dataset.task.ignore_index == 255
        for id, mask_HW in expected.items():
            np.testing.assert_array_equal(dataset.mask(id), mask_HW)
    before, after = (open_dataset(root).fingerprint("scene006") for root in (tiny_dataset, tmp_path / "sharded"))
    assert before == after
    Image.fromarray(np.full((64, 96), 7, np.uint8)).save(tiny_dataset / "masks/scene000.png")
    with pytest.raises(BadInput, match=r"scene000\.png: label 7, expected one of 0-3"):
        open_dataset(tiny_dataset).mask("scene000")
