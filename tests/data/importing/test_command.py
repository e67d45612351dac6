"""The command line: foreign folders are named by check, train and run; what an import prints and check repeats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hardedge.cli import cli
from hardedge.cli.importing import FORMATS as NAMED
from hardedge.contracts import json_schema, parse_json
from hardedge.contracts.imported import Import, Imports
from hardedge.data import open_dataset
from hardedge.data.importing.formats import FORMATS
from hardedge.data.importing.recognition import format_of
from hardedge.errors import BadInput

COCO = '{"images": [], "annotations": [{"segments_info": []}], "categories": []}'
ROAD = {"label": "road", "shape_type": "polygon", "points": [[0, 0], [30, 0], [30, 10], [0, 10]]}
SIGNS: dict[str, dict[str, str]] = {
    "coco-panoptic": {"annotations/panoptic_val.json": COCO},
    "coco": {"annotations/instances.json": COCO.replace('{"segments_info": []}', '{"image_id": 1}')},
    "labelme": {"labels/a.json": '{"shapes": [], "imagePath": "a.jpg"}'},
    "cvat": {"annotations.xml": "<annotations><image name='a.jpg'/></annotations>"},
    "label-studio": {"export.json": '[{"data": {}, "annotations": [{"result": []}]}]'},
    "supervisely": {"meta.json": "{}", "ds/img/x": "", "ds/ann/x.json": "{}"},
    "roboflow": {"train/_classes.csv": "0, a", "train/a_mask.png": ""},
    "ultralytics": {"data.yaml": "train: images/train\nval: images/val\nnames: [road]"},
    "paddleseg": {"train.txt": "images/a.jpg masks/a.png"},
    "mmseg": {"img_dir/train/a.jpg": "", "ann_dir/train/a.png": ""},
    "cvat-masks": {"labelmap.txt": "a:0,0,0::", "SegmentationClass/a.png": "", "ImageSets/Segmentation/x.txt": "a"},
    "huggingface": {"dataset_dict.json": "{}", "train/data-00000-of-00001.arrow": ""},
}
NEEDS = {
    "mmseg": "--classes road,car,...",
    "colors": "--table COLOURS.txt",
    "indices": "--table 0=void,1=road,2=car",
}
REGIONS = ("coco", "coco-panoptic", "labelme", "cvat", "label-studio", "supervisely", "ultralytics")


def hardedge(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def foreign(bench: Any) -> Callable[[str], Path]:
    """A folder that looks like a format."""

    def write(format: str) -> Path:
        for name, text in SIGNS.get(format, {}).items():
            bench.text(name, text)
        stripes = np.tile(np.array([0, 255], np.uint8), (4, 4))
        masks = {
            "colors": np.stack([stripes, stripes // 2, stripes // 3], -1),
            "binary": stripes,
            "indices": stripes // 100,
        }
        if format in masks:
            bench.photo("images/a.jpg")
            (bench.source / "masks").mkdir()
            Image.fromarray(masks[format]).save(bench.source / "masks/a.png")
        return Path(bench.source)

    return write


def test_the_command_knows_every_format() -> None:
    assert sorted(NAMED) == sorted(format.name for format in FORMATS)
    assert set(NAMED) == {*SIGNS, "colors", "binary", "indices"}


@pytest.mark.parametrize("name", NAMED)
def test_a_foreign_folder_is_named_with_the_command(foreign: Callable[[str], Path], name: str) -> None:
    root = foreign(name)
    words = [f"hardedge import {name} {root} --out theirs-hardedge"]
    words += [NEEDS[name]] if name in NEEDS else []
    words += ["--unlabelled background"] if name in REGIONS else []
    with pytest.raises(BadInput, match="which has to be imported:") as caught:
        open_dataset(root)
    assert str(caught.value).splitlines()[1].strip() == " ".join(words)
    checked = hardedge("check", root)
    assert checked.exit_code == 2
    assert str(caught.value).splitlines()[0] in checked.output
    assert " ".join(words) in checked.output
    # the command is one that the program understands
    arguments = " ".join(words).split()[2:]
    assert cli.commands["import"].make_context("import", arguments).params["format"] == name


@pytest.mark.parametrize("command", [("run",), ("train", "camvid")], ids=" ".join)
def test_run_and_train_name_the_format_and_write_nothing(
    foreign: Callable[[str], Path], command: tuple[str, ...], tmp_path: Path
) -> None:
    root = foreign("ultralytics")
    result = hardedge(*command, "--data", root, "--out", tmp_path / "out")
    assert isinstance(result.exception, BadInput)
    assert f"{root} looks like Ultralytics" in str(result.exception)
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match=r"data\.yaml looks like Ultralytics"):
        open_dataset(root / "data.yaml")


def test_data_sets_of_our_own_are_not_foreign(tiny_dataset: Path, tmp_path: Path) -> None:
    assert open_dataset(tiny_dataset).name == tiny_dataset.name
    assert format_of(tmp_path) is None
    (tmp_path / "classes.json").write_text("{}")
    with pytest.raises(BadInput, match=r"classes\.json"):
        open_dataset(tmp_path)


def labelled(bench: Any, names: str = "abcd") -> None:
    size = {"imageHeight": 20, "imageWidth": 30}
    for name in names:
        bench.photo(f"{name}.jpg")
        bench.text(f"{name}.json", {"shapes": [ROAD, {**ROAD, "label": "way"}], "imagePath": f"{name}.jpg", **size})


def test_an_import_prints_its_tables_and_check_the_record(bench: Any) -> None:
    labelled(bench)
    words = ("import", "labelme", bench.source, "--out", bench.out, "--unlabelled", "background", "--map", "way=road")
    result = hardedge(*words)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == f"{bench.out}: 4 images from {bench.source} (labelme), 4 files of labels"
    for line in ("road road 4", "way road 4", "background 1,200 50.00", "road 1,200 50.00", "images 2 1 1"):
        assert line in lines
    checked = hardedge("check", bench.out)
    assert checked.exit_code == 0
    assert f"note: imported from {bench.source} (labelme, 4 files, hardedge " in checked.output
    assert f"note: labels of {bench.source}: way -> road" in checked.output
    Image.fromarray(bench.blank(1)).save(bench.out / "masks/b.png")
    assert "note: masks changed since their import: b" in hardedge("check", bench.out).output
    (bench.out / "import.json").write_text("{}")
    assert "note: import.json cannot be read" in hardedge("check", bench.out).output


def test_the_result_as_json_is_the_record(bench: Any) -> None:
    labelled(bench)
    words = ("import", "labelme", bench.source, "--out", bench.out, "--unlabelled", "ignore", "--json")
    result = hardedge(*words)
    record = parse_json(Import, result.stdout.encode(), "stdout")
    assert record == parse_json(Imports, (bench.out / "import.json").read_bytes(), "import.json").imports[0]
    assert json_schema(Imports)["properties"].keys() == json.loads((bench.out / "import.json").read_text()).keys()
    assert hardedge(*words).exit_code != 0
    added = hardedge(*words, "--add")
    assert parse_json(Import, added.stdout.encode(), "stdout").images == ()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--split", "80/10/11"), "three shares above 0 that add up to 100"),
        (("--split", "100/0/0"), "three shares above 0"),
        (("--map", "road"), "expected LABEL=CLASS"),
        (("--split", "80/10/10", "--split-by", "folder"), "Give one of them"),
    ],
)
def test_wrong_options_are_refused(bench: Any, words: tuple[str, ...], problem: str) -> None:
    result = hardedge("import", "labelme", bench.source, "--out", bench.out, *words)
    assert result.exit_code == 2
    assert problem in " ".join(result.output.split())


@pytest.mark.slow
def test_run_works_on_an_imported_set(bench: Any, hardedge: Callable[..., Any]) -> None:
    bench.size = (64, 96)
    shape = {"label": "road", "shape_type": "polygon", "points": [[0, 30], [96, 40], [96, 64], [0, 64]]}
    for number in range(12):
        bench.photo(f"{number}.png")
        labels = {"shapes": [shape], "imagePath": f"{number}.png", "imageHeight": 64, "imageWidth": 96}
        bench.text(f"{number}.json", labels)
    done = hardedge("import", "labelme", bench.source, "--out", bench.out, "--unlabelled", "background")
    assert done.returncode == 0, done.stderr
    settings = ("steps=2", "batch=2", "crop=64,96", "scale=1,1", "evaluate_every=2", "pretrained=false")
    run = bench.out.with_name("run")
    done = hardedge(
        *("run", "--data", bench.out, "--out", run, "--latency", "0s", "--target", "onnxruntime:cpu"),
        *(word for setting in settings for word in ("--set", setting)),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "report/report.json").read_text())["task"]["classes"][1]["name"] == "road"
