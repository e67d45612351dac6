"""Folders of masks: Roboflow, PaddleSeg, mmsegmentation, colours, two values, indices, Hugging Face data sets."""

import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.data.importing.tables import read_table, table_of
from hardedge.errors import BadInput


@pytest.fixture
def values(bench: Any) -> np.ndarray:
    """Labels 0, 1, 2 and 255."""
    found = bench.blank()
    found[4:12], found[12:16], found[16:] = 1, 2, 255
    return found


def test_roboflow(bench: Any, values: np.ndarray) -> None:
    for split in ("train", "valid", "test"):
        bench.text(f"{split}/_classes.csv", "Pixel Value, Class\n0, background\n1, road\n2, light car\n")
        bench.photo(f"{split}/x_jpg.rf.0a1b.jpg")
        bench.mask(f"{split}/x_jpg.rf.0a1b_mask.png", values)
    bench.imported("roboflow")
    assert bench.classes() == ["background", "road", "light car"]
    assert bench.split("val") == ["valid__x_jpg.rf.0a1b"]  # three images of one name
    np.testing.assert_array_equal(bench.result("valid__x_jpg.rf.0a1b"), values)


def test_paddleseg(bench: Any, values: np.ndarray) -> None:
    for name in ("a", "b", "c d", "e"):
        bench.photo(f"images/{name}.jpg")
        bench.mask(f"annotations/{name}.png", values)
    bench.text("labels.txt", "sky\nroad\ncar\n")
    bench.text("train.txt", "images/a.jpg annotations/a.png\nimages\\c d.jpg annotations\\c d.png\n")
    bench.text("val.txt", "images/b.jpg\tannotations/b.png\n")
    bench.text("test.txt", "images/e.jpg,annotations/e.png\n")
    bench.imported("paddleseg")
    assert [bench.split(name) for name in ("train", "val", "test")] == [["a", "c_d"], ["b"], ["e"]]
    np.testing.assert_array_equal(bench.result("c_d"), values)
    assert bench.classes() == ["sky", "road", "car"]
    path = bench.text("val.txt", "\nimages/b.jpg annotations/nothing.png\n")
    with pytest.raises(BadInput, match=rf"{path}:2: image annotations/nothing.png is not in"):
        replace(bench, out=bench.out.with_name("other")).imported("paddleseg")


def test_mmsegmentation(bench: Any, values: np.ndarray) -> None:
    for name in ("train/a", "val/b", "test/c"):
        bench.photo(f"img_dir/{name}.jpg")
        bench.mask(f"ann_dir/{name}.png", values, palette=list(range(256)) * 3)
    with pytest.raises(BadInput, match="--classes road,car"):
        bench.imported("mmseg")
    bench.imported("mmseg", classes=("sky", "road", "car"))
    np.testing.assert_array_equal(bench.result("b"), values)
    assert [bench.split(name) for name in ("train", "val", "test")] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("ending", ["", "_L", "_mask"])
def test_colours_by_a_table(bench: Any, ending: str, noted: Any) -> None:
    colors = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142]], np.uint8)
    indices = bench.blank()
    indices[3:9], indices[9:, :12] = 1, 2
    for name in "abc":
        bench.photo(f"images/{name}.jpg")
        path = bench.source / f"masks/{name}{ending}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(colors[indices]).save(path)
    # a palette image has its colours in the palette
    bench.mask(f"masks/c{ending}.png", 7 + indices, palette=[9] * 21 + colors.reshape(-1).tolist())
    bench.text("class_dict.csv", "name,r,g,b\nvoid,0,0,0\nroad,128,64,128\ncar,0,0,142\n")
    bench.imported("colors", ignore=("void",))
    expected = np.array([255, 0, 1])[indices]
    for name in "abc":
        np.testing.assert_array_equal(bench.result(name), expected)
    assert bench.classes() == ["road", "car"]
    colors[2] = 0, 0, 143
    path = bench.source / f"masks/b{ending}.png"
    Image.fromarray(colors[indices]).save(path)
    with pytest.raises(BadInput, match=rf"{path}: value #00008f \(132 pixels\) is no label\. Known: #000000, #804080"):
        replace(bench, out=bench.out.with_name("other")).imported("colors", ignore=("void",))


def test_two_values(bench: Any) -> None:
    flags = np.random.default_rng(0).random(bench.size) < 0.3
    for name, high in (("a", 255), ("b", 1), ("c", 255), ("d", 255)):
        bench.photo(f"images/{name}.png")
        bench.mask(f"masks/{name}.png", flags * np.uint8(high))
    Image.fromarray(flags).save(bench.source / "masks/c.png")  # one bit
    Image.fromarray(np.stack([flags * np.uint8(255)] * 3, -1)).save(bench.source / "masks/d.png")
    bench.imported("binary", classes=("wall", "crack"))
    for name in "abcd":
        np.testing.assert_array_equal(bench.result(name), flags)
    assert bench.classes() == ["wall", "crack"]
    soft = np.where(flags, 200, 30).astype(np.uint8)
    path = bench.mask("masks/b.png", soft)
    other = replace(bench, out=bench.out.with_name("other"))
    with pytest.raises(BadInput, match=rf"{path}: values 30 \(\d+ pixels\), 200 .*--threshold 128"):
        other.imported("binary")
    other.imported("binary", threshold=128)
    np.testing.assert_array_equal(other.result("b"), flags)
    assert other.classes() == ["background", "foreground"]


def test_labels_from_one_on_with_zero_to_ignore(bench: Any, noted: Any) -> None:
    values = bench.blank()
    values[5:10], values[10:15], values[15:] = 1, 2, 3
    for name in "abc":
        bench.photo(f"images/{name}.jpg")
        bench.mask(f"masks/{name}.png", values)
    table = table_of("0=void,1=road,2=car,3=truck")
    record = bench.imported("indices", table=table, ignore=("void",), renamed={"truck": "car"})
    np.testing.assert_array_equal(bench.result("a"), np.array([255, 0, 1, 1])[values])
    assert [(entry.label, entry.becomes, entry.how) for entry in record.labels] == [
        ("void", None, "ignored"),
        ("road", "road", "class"),
        ("car", "car", "class"),
        ("truck", "car", "class"),
    ]
    other = replace(bench, out=bench.out.with_name("other"))
    with pytest.raises(BadInput, match=r"value 3 \(150 pixels\) is no label\. Known: 0, 1, 2"):
        other.imported("indices", table=table[:3])
    # dropped pixels have no label, and someone has to say what they are
    with pytest.raises(BadInput, match="--unlabelled"):
        other.imported("indices", table=table, drop=("void",))
    dropped = other.imported("indices", table=table, drop=("void",), unlabelled="road", renamed={"truck": "car"})
    assert noted(dropped)["dropped", "pixels of void"] == 3 * 150
    np.testing.assert_array_equal(other.result("a"), np.array([0, 0, 1, 1])[values])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_greys_of_few_bits_are_values_as_stored(bench: Any, bits: int) -> None:
    """A 4-bit grey PNG's value 1 is 1, not the 17 that it is shown as."""
    import struct
    import zlib

    values = np.arange(600).reshape(bench.size) % 2
    packed = bytearray()
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        packed += bytes([0]) + bytes(int(text[place : place + 8], 2) for place in range(0, len(text), 8))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 30, 20, bits, 0, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(packed))) + chunk(b"IEND", b"")
    )
    for name in "abc":
        bench.photo(f"images/{name}.jpg")
        (bench.source / "masks").mkdir(exist_ok=True)
        (bench.source / f"masks/{name}.png").write_bytes(png)
    bench.imported("indices", classes=("road", "car"))
    np.testing.assert_array_equal(bench.result("a"), values)


def test_images_and_masks_without_partner(bench: Any, values: np.ndarray, noted: Any) -> None:
    for name in "abcd":
        bench.photo(f"images/{name}.jpg")
    for name in "abce":
        bench.mask(f"masks/{name}.png", values)
    bench.text("images/._a.jpg", "")  # what macOS leaves
    with pytest.raises(BadInput) as caught:
        bench.imported("indices", classes=("sky", "road", "car"))
    assert f"{bench.source / 'images/d.jpg'}: no mask of it" in str(caught.value)
    assert f"{bench.source / 'masks/e.png'}: no image of it" in str(caught.value)
    record = bench.imported("indices", classes=("sky", "road", "car"), skip_missing=True)
    assert noted(record)["dropped", "image"] == noted(record)["dropped", "mask"] == 1


def test_a_mask_of_another_size(bench: Any, values: np.ndarray) -> None:
    for name in "abc":
        bench.photo(f"images/{name}.jpg")
        bench.mask(f"masks/{name}.png", values)
    path = bench.mask("masks/b.png", values[:-1])
    with pytest.raises(BadInput, match=rf"{path}: 19x30 pixels, but its image has 20x30"):
        bench.imported("indices", classes=("sky", "road", "car"))


def test_tables_in_the_orders_in_use(bench: Any) -> None:
    text = "# comment\n#804080 road\n128, 64, 0, fence\nlight car,0,0,142\n64 0 128\tStreet Lamp\nsky:1,2,3::\n"
    assert read_table(bench.text("colors.txt", text)) == (
        ("#804080", "road"),
        ("#804000", "fence"),
        ("#00008e", "light car"),
        ("#400080", "Street Lamp"),
        ("#010203", "sky"),
    )
    assert table_of("0=void, 7=light car") == (("0", "void"), ("7", "light car"))
    path = bench.text("bad.txt", "0 void\nnonsense 1\n0 road\n300,0,0,x\n")
    with pytest.raises(BadInput) as caught:
        read_table(path)
    for part in (f"{path}:2: 'nonsense 1' is no entry", f"{path}:3: 0 is road, but was void", f"{path}:4: "):
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_hugging_face(bench: Any, values: np.ndarray, kind: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def png(pixels: np.ndarray) -> bytes:
        content = BytesIO()
        Image.fromarray(pixels).save(content, format="PNG")
        return content.getvalue()

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {"image": {"_type": "Image"}, "annotation": {"_type": "Image"}, "label": {"_type": "ClassLabel"}}
    schema = pyarrow.schema(
        [("image", picture), ("annotation", picture), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    for number, split in enumerate(("train", "validation", "test")):
        photo = np.random.default_rng(number).integers(0, 256, (*bench.size, 3), np.uint8)
        row = {
            "image": [{"bytes": png(photo), "path": f"ph.{number}.png" if number else None}],
            "annotation": [{"bytes": png(np.roll(values, number, axis=1)), "path": None}],
            "label": [4],
        }
        table = pyarrow.table(row, schema=schema)
        if kind == "parquet":
            (bench.source / "data").mkdir(exist_ok=True)
            parquet.write_table(table, bench.source / f"data/{split}-00000-of-00001.parquet")
        else:
            bench.text(f"{split}/dataset_info.json", {})
            with pyarrow.ipc.new_stream(bench.source / f"{split}/data-00000-of-00001.arrow", schema) as writer:
                writer.write_table(table)
    bench.text("dataset_dict.json", {"splits": ["train", "validation", "test"]})
    bench.text("id2label.json", {"0": "sky", "1": "road", "2": "car"})
    bench.imported("huggingface")
    assert bench.classes() == ["sky", "road", "car"]
    assert bench.split("val") == ["ph.1"]
    np.testing.assert_array_equal(bench.result("ph.1"), np.roll(values, 1, axis=1))
    (first,) = bench.split("train")
    np.testing.assert_array_equal(bench.result(first), values)
