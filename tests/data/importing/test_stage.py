"""What every format shares: names, orientation, links, renaming, adding, the record, and what a failure leaves."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Imports, read_json, sha256_of
from hardedge.data.importing.names import BadName, ids_of, split_named
from hardedge.data.importing.splits import Splitting
from hardedge.data.importing.tables import table_of
from hardedge.errors import BadInput

CLASSES = ("road", "car")
ORIENTATION = 0x0112


@pytest.fixture
def masks(bench: Any) -> np.ndarray:
    """Images and masks of two classes; returns the labels."""
    values = bench.blank()
    values[:, 12:] = 1
    for name in "abcd":
        bench.photo(f"images/{name}.jpg")
        bench.mask(f"masks/{name}.png", values)
    return values


def turned(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    with Image.open(path) as image:
        image.save(path, exif=exif, quality=100)


def test_ids_are_safe_names() -> None:
    assert ids_of(["a/1.jpg", "b/2.jpg"]) == ["1", "2"]
    assert ids_of(["a/1.jpg", "b/1.jpg", "c/3.png"]) == ["a__1", "b__1", "3"]
    assert ids_of(["a\\x y.jpg", "A/X\ty.jpg".replace("\t", " ")]) == ["a__x_y", "A__X_y-2"]
    assert ids_of(["A.jpg", "a.jpg", "a-2.jpg"]) == ["A", "a-2", "a-2-2"]
    assert ids_of(["e\u0301.jpg"]) == ["\u00e9"]  # an accent apart, as macOS writes it
    assert ids_of(["../up/1.jpg", "./1.jpg"]) == ["up__1", "1"]
    assert ids_of([".hidden.jpg"]) == ["hidden"]
    for name, problem in {
        "": "without a file name",
        "a/..": "is no file's",
        "x\0y.jpg": "control character",
        "a" * 201 + ".jpg": "too long for an id",
        "a" * 256: "too long",
        "\n.jpg": "control character",
    }.items():
        with pytest.raises(BadName, match=problem):
            ids_of([name])


@pytest.mark.parametrize(
    ("parts", "split"),
    [
        (["train2017"], "train"),
        (["images", "Validation"], "val"),
        (["instances_val"], "val"),
        (["my-test-set"], "test"),
        (["train", "val"], None),
        (["trains", "contest"], None),
    ],
)
def test_folders_that_name_a_split(parts: list[str], split: str | None) -> None:
    assert split_named(parts) == split


@pytest.mark.parametrize("link", [False, True])
def test_images_are_copied_or_linked_and_never_moved(bench: Any, masks: np.ndarray, link: bool) -> None:
    before = {path: path.read_bytes() for path in sorted(bench.source.rglob("*.*"))}
    bench.imported("indices", classes=CLASSES, link=link)
    for name in "abcd":
        image = bench.out / f"images/{name}.jpg"
        assert image.is_symlink() == link
        assert image.read_bytes() == before[bench.source / f"images/{name}.jpg"]
    assert {path: path.read_bytes() for path in sorted(bench.source.rglob("*.*"))} == before


def test_formats_that_are_not_read_become_png(bench: Any, masks: np.ndarray, noted: Any) -> None:
    path = bench.source / "images/b.jpg"
    pixels = np.asarray(Image.open(path))
    path.unlink()
    Image.fromarray(pixels).save(path.with_suffix(".tif"))
    record = bench.imported("indices", classes=CLASSES)
    np.testing.assert_array_equal(np.asarray(Image.open(bench.out / "images/b.png")), pixels)
    assert noted(record)["changed", "image"] == 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_orientation_is_applied(bench: Any, masks: np.ndarray, orientation: int, noted: Any) -> None:
    path = bench.source / "images/b.jpg"
    turned(path, orientation)
    stored = np.asarray(Image.open(path))
    upright = np.rot90(stored, {3: 2, 6: 3, 8: 1}[orientation])
    labels = np.rot90(masks, {3: 2, 6: 3, 8: 1}[orientation])
    bench.mask("masks/b.png", labels)
    record = bench.imported("indices", classes=CLASSES)
    found = Image.open(bench.out / "images/b.png")
    np.testing.assert_array_equal(np.asarray(found), upright)
    assert ORIENTATION not in found.getexif()
    np.testing.assert_array_equal(bench.result("b"), labels)
    assert noted(record)["changed", "image"] == 1


def test_an_orientation_is_only_noted(bench: Any, masks: np.ndarray, noted: Any) -> None:
    path = bench.source / "images/b.jpg"
    turned(path, 6)
    with pytest.raises(BadInput, match=r"20x30 pixels, but its image has 30x20; .*try --exif note"):
        bench.imported("indices", classes=CLASSES)
    record = bench.imported("indices", classes=CLASSES, exif="note")
    assert (bench.out / "images/b.jpg").read_bytes() == path.read_bytes()
    assert noted(record)["changed", "image"] == 1


def test_labels_are_renamed_ignored_and_dropped(bench: Any, masks: np.ndarray) -> None:
    table = table_of("0=road,1=car")
    with pytest.raises(BadInput) as caught:
        bench.imported("indices", table=table, renamed={"lorry": "car"}, ignore=("sky",), drop=("tree",))
    for part in ("--map lorry: no such label", "--ignore sky: no", "--drop tree: no", "Labels: road, car."):
        assert part in str(caught.value)
    with pytest.raises(BadInput, match="label car is not one of --classes"):
        bench.imported("indices", table=table, classes=("road", "sky"))
    with pytest.raises(BadInput, match=r"one class \(road\)"):
        bench.imported("indices", table=table, ignore=("car",))
    bench.imported("indices", table=table, classes=("vehicle", "road"), renamed={"car": "vehicle"})
    np.testing.assert_array_equal(bench.result("a"), 1 - masks)


def test_the_record_says_where_everything_is_from(bench: Any, masks: np.ndarray) -> None:
    made = bench.imported("indices", classes=CLASSES, splitting=Splitting(seed=5))
    found = read_json(Imports, bench.out / "import.json")
    assert found.imports == (made,)
    assert (made.format, made.source, made.options) == (
        "indices",
        str(bench.source),
        {"classes": "road,car", "seed": "5"},
    )
    assert made.files == {f"masks/{name}.png": sha256_of(bench.source / f"masks/{name}.png") for name in "abcd"}
    for image in made.images:
        assert image.image_sha256 == sha256_of(bench.source / f"images/{image.id}.jpg")
        assert image.mask_sha256 == sha256_of(bench.out / f"masks/{image.id}.png")
        assert image.id in bench.split(image.split)
    assert made.pixels == {"road": 4 * 240, "car": 4 * 360, "": 0}
    assert [split.images for split in made.splits] == [2, 1, 1]


def test_the_same_source_gives_the_same_bytes(bench: Any, masks: np.ndarray) -> None:
    other = replace(bench, out=bench.out.with_name("other"))
    for each in (bench, other):
        each.imported("indices", classes=CLASSES)
    names = sorted(path.relative_to(bench.out) for path in bench.out.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other.out) for path in other.out.rglob("*") if path.is_file())
    assert all((bench.out / name).read_bytes() == (other.out / name).read_bytes() for name in names)


def test_a_second_import_is_refused_or_adds(bench: Any, masks: np.ndarray, noted: Any) -> None:
    bench.imported("indices", classes=CLASSES)
    before = {path: path.read_bytes() for path in bench.out.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match="ours exists, written by an import.*or --add"):
        bench.imported("indices", classes=CLASSES)
    assert {path: path.read_bytes() for path in bench.out.rglob("*") if path.is_file()} == before
    second = replace(bench, source=bench.source.with_name("more"))
    for name in ("a", "new"):
        path = second.photo(f"images/{name}.jpg")
        if name == "a":
            path.write_bytes((bench.source / "images/a.jpg").read_bytes())
        else:  # the same view as c, at another size
            image = Image.open(bench.source / "images/c.jpg").resize((60, 40))
            image.save(path)
        second.mask(f"masks/{name}.png", np.kron(masks, np.ones((2, 2))) if name == "new" else masks)
    record = second.imported("indices", add=True)
    assert noted(record)["merged", "image"] == 1  # a is there already
    assert [image.id for image in record.images] == ["new"]
    home = next(split for split in ("train", "val", "test") if "c" in second.split(split))
    assert "new" in second.split(home)
    kept = {path: path.read_bytes() for path in before if path.parent.name in ("images", "masks")}
    assert kept.items() <= before.items()
    assert len(read_json(Imports, bench.out / "import.json").imports) == 2
    assert not list(bench.out.parent.glob(".*"))
    second.mask("masks/a.png", 1 - masks)
    with pytest.raises(BadInput, match=r"a\.jpg: a is in .* already, with another image or mask"):
        second.imported("indices", add=True)
    with pytest.raises(BadInput, match="label sky is not one of --classes"):
        second.imported("indices", add=True, table=table_of("0=sky,1=tree"))
    assert len(read_json(Imports, bench.out / "import.json").imports) == 2


def test_options_that_do_nothing_are_refused(bench: Any, masks: np.ndarray) -> None:
    with pytest.raises(BadInput, match="--order, --boxes, --threshold: of no use for indices"):
        bench.imported("indices", classes=CLASSES, boxes="fill", threshold=3, order="area")
    with pytest.raises(BadInput, match="--interpolated: of no use for coco"):
        bench.imported("coco", interpolated="drop", boxes="fill", order="area")


def test_two_files_of_one_name_are_a_fault(bench: Any, masks: np.ndarray) -> None:
    path = bench.photo("images/a.png")
    with pytest.raises(BadInput, match=rf"{path}: same name as a\.jpg"):
        bench.imported("indices", classes=CLASSES)


def test_a_fault_of_one_image_leaves_nothing(bench: Any, masks: np.ndarray) -> None:
    (bench.source / "images/c.jpg").write_bytes(b"no image")
    (bench.source / "masks/d.png").write_bytes(b"no mask")
    with pytest.raises(BadInput) as caught:
        bench.imported("indices", classes=CLASSES)
    assert f"{bench.source / 'images/c.jpg'}: cannot be read as an image" in str(caught.value)
    assert f"{bench.source / 'masks/d.png'}: cannot be read as a mask" in str(caught.value)
    assert sorted(bench.out.parent.iterdir()) == [bench.source]


def test_out_inside_the_source_is_no_image_of_it(bench: Any, masks: np.ndarray) -> None:
    inner = replace(bench, out=bench.source / "ours")
    inner.imported("indices", classes=CLASSES)
    assert len(inner.split("train")) == 2


@pytest.mark.parametrize("when", ["images", "masks", "import.json"])
def test_a_killed_import_leaves_nothing_half(bench: Any, masks: np.ndarray, when: str) -> None:
    """Killed outright where it writes its first image, mask, or the record: OUT is not there, or whole."""
    program = f"""
import os, signal, sys
from pathlib import Path
from hardedge.data.importing import pairs, stage
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
if {when!r} == "images": pairs.painted = kill
elif {when!r} == "masks": pairs.write_whole = kill
else: stage.write_atomically = kill
from hardedge.cli import cli
cli(["import", "indices", {str(bench.source)!r}, "--out", {str(bench.out)!r}, "--classes", "road,car"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not bench.out.exists()
    bench.imported("indices", classes=CLASSES)
    assert json.loads((bench.out / "classes.json").read_text())["ignore_index"] == 255
