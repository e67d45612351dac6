"""CVAT: shapes of images, tracks of a video, ignored and interpolated shapes, and its mask form."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.errors import BadInput

META = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <labels>
        <label><name>road</name><color>#804080</color></label>
        <label><name>car</name><color>#00008e</color></label>
      </labels>
      <original_size><width>30</width><height>20</height></original_size>
    </task>
  </meta>
"""


def polygon(label: str, left: int, top: int, right: int, bottom: int, more: str = "", inner: str = "") -> str:
    points = f"{left}.00,{top}.00;{right}.00,{top}.00;{right}.00,{bottom}.00;{left}.00,{bottom}.00"
    label = f'label="{label}" ' if label else ""
    return f'    <polygon {label}points="{points}" {more}>{inner}</polygon>\n'


def test_images_with_shapes_of_every_kind(bench: Any, noted: Any) -> None:
    for name in ("a.jpg", "sub/b.jpg", "c.jpg"):
        bench.photo(f"images/{name}")
    ignored = '<attribute name="ignore">true</attribute>'
    first = (
        polygon("car", 4, 4, 10, 10, 'z_order="2"')
        + polygon("road", 0, 0, 30, 12, 'z_order="1"')
        + polygon("car", 20, 0, 30, 6, 'z_order="3"', ignored)
        + '    <mask label="car" rle="1, 3, 1, 5" left="2" top="14" width="5" height="2" z_order="0"/>\n'
        + '    <ellipse label="road" cx="20" cy="16" rx="4" ry="2" z_order="0"/>\n'
        + '    <box label="car" xtl="25" ytl="14" xbr="29" ybr="18" z_order="0"/>\n'
        + '    <polyline label="car" points="1,1;2,2"/>\n'
        + '    <points label="car" points="1,1"/>\n'
        + '    <tag label="road"/>\n'
    )
    bench.text(
        "annotations.xml",
        META
        + f'  <image id="0" name="a.jpg" width="30" height="20">\n{first}  </image>\n'
        + '  <image id="1" name="sub\\b.jpg" width="30" height="20" subset="Train"></image>\n'
        + '  <image id="2" name="c.jpg" width="30" height="20"/>\n</annotations>',
    )
    record = bench.imported("cvat", unlabelled="background")
    expected = bench.blank()
    ys, xs = np.mgrid[:20, :30] + 0.5
    expected[14:18, 25:29] = 255
    expected[14, 3:6] = 2
    expected[15, 2:7] = 2
    expected[((xs - 20) / 4) ** 2 + ((ys - 16) / 2) ** 2 <= 1] = 1
    expected[:12] = 1
    expected[4:10, 4:10] = 2
    expected[:6, 20:] = 255
    np.testing.assert_array_equal(bench.result("a"), expected)
    assert not bench.result("b").any()
    counts = noted(record)
    assert counts["ignored", "polygon of car"] == counts["ignored", "box of car"] == 1
    assert counts["dropped", "polyline of car"] == counts["dropped", "points of car"] == 1
    assert counts["dropped", "tag of road"] == 1
    task = (bench.out / "classes.json").read_text()
    assert bench.classes() == ["background", "road", "car"]
    assert "128,\n    64,\n    128" in task


@pytest.mark.parametrize(("interpolated", "value"), [("fill", 2), ("ignore", 255), ("drop", 0)])
def test_frames_of_a_video(bench: Any, noted: Any, interpolated: str, value: int) -> None:
    for frame in range(4):
        bench.photo(f"images/frame_{frame:06d}.PNG")
    track = "".join(
        polygon("", 2 * frame, 0, 2 * frame + 4, 4, f'frame="{frame}" outside="{int(frame == 3)}" keyframe="{key}"')
        for frame, key in enumerate((1, 0, 1, 1))
    )
    bench.text("annotations.xml", META + f'  <track id="0" label="car">\n{track}  </track>\n</annotations>')
    record = bench.imported("cvat", unlabelled="background", interpolated=interpolated)
    for frame, expected_value in enumerate((2, value, 2, 0)):
        expected = bench.blank()
        expected[:4, 2 * frame : 2 * frame + 4] = expected_value
        np.testing.assert_array_equal(bench.result(f"frame_{frame:06d}"), expected)
    done = {"fill": "read", "ignore": "ignored", "drop": "dropped"}[interpolated]
    assert noted(record)[done, "interpolated polygon of car"] == 1


def test_a_turned_box(bench: Any) -> None:
    for name in "abc":
        bench.photo(f"{name}.jpg")
    shape = '<box label="car" xtl="10" ytl="4" xbr="18" ybr="8" rotation="90"/>'
    images = "".join(f'  <image name="{name}.jpg" width="30" height="20">{shape}</image>\n' for name in "abc")
    bench.text("annotations.xml", META + images + "</annotations>")
    bench.imported("cvat", unlabelled="background", boxes="fill")
    expected = bench.blank()
    expected[2:10, 12:16] = 2  # a quarter turn about its middle (14, 6)
    np.testing.assert_array_equal(bench.result("a"), expected)


def test_faults_have_their_lines(bench: Any) -> None:
    bench.photo("a.jpg")
    shapes = (
        polygon("", 0, 0, 3, 3)
        + '    <polygon label="car" points="1,2;3"/>\n'
        + '    <mask label="car" rle="3,3" left="0" top="0" width="2" height="2"/>\n'
        + '    <blob label="car"/>\n'
    )
    text = META + f'  <image name="a.jpg" width="30" height="20">\n{shapes}  </image>\n'
    path = bench.text("annotations.xml", text + '  <image name="no.jpg" width="30" height="20"/>\n</annotations>')
    line = text.splitlines().index('  <image name="a.jpg" width="30" height="20">') + 1
    with pytest.raises(BadInput) as caught:
        bench.imported("cvat", unlabelled="background")
    message = str(caught.value)
    assert f"{path}:{line + 1}: <polygon> without a label" in message
    assert f"{path}:{line + 2}: a polygon of 3 numbers" in message
    assert f"{path}:{line + 4}: <blob>: not one of CVAT's shapes" in message
    assert f"{path}:{line + 6}: image no.jpg is not in" in message
    bench.text("annotations.xml", META + "<image")
    with pytest.raises(BadInput, match=rf"{path}:13: not valid XML"):
        bench.imported("cvat")
    bench.text("annotations.xml", '<!DOCTYPE a [<!ENTITY b "c">]>\n<annotations>&b;</annotations>')
    with pytest.raises(BadInput, match=r"annotations.xml:1: has a document type"):
        bench.imported("cvat")


def test_masks_in_the_colours_of_labelmap(bench: Any) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nlight car:0,0,142::\n"
    bench.text("labelmap.txt", text)
    bench.text("ImageSets/Segmentation/default.txt", "a\nsub/b\nc\n")
    values = bench.blank()
    values[:5], values[5:9, :8] = 1, 2
    colors = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142]], np.uint8)
    for name in ("a", "sub/b", "c"):
        bench.photo(f"JPEGImages/{name}.jpg")
        path = bench.source / f"SegmentationClass/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colors[values]).save(path)
    record = bench.imported("cvat-masks")
    np.testing.assert_array_equal(bench.result("b"), values)
    assert bench.classes() == ["background", "road", "light car"]
    assert record.pixels == {"background": 3 * (600 - 150 - 32), "road": 450, "light car": 96, "": 0}
