"""Polygons, run lengths and other areas become the right pixels."""

import json
from pathlib import Path

import numpy as np
import pytest

from hardedge.data.importing.areas import Bitmap, CocoRuns, Ellipse, Polygons, Relative, box, points_of
from hardedge.data.importing.polygons import Patch, filled
from hardedge.data.importing.runs import brush, by_columns, by_rows, coco_counts

GOLDEN = json.loads((Path(__file__).parent / "cocotools_polygons.json").read_text())


def in_crossing(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How often a ray to the right crosses the upright edges of the self-crossing outline, odd."""
    edges = ((6, 0, 9), (3, 3, 9), (9, 3, 6), (0, 0, 6))
    return sum(((x < at) & (y > top) & (y < bottom)).astype(int) for at, top, bottom in edges) % 2 == 1


def whole(patch: Patch, size: tuple[int, int]) -> np.ndarray:
    flags = np.zeros(size, bool)
    flags[patch.window] = patch.flags
    return flags


@pytest.mark.parametrize("case", GOLDEN, ids=range(len(GOLDEN)))
def test_polygons_and_run_lengths_are_those_of_pycocotools(case: dict) -> None:
    """The file has polygons (inside, across the border, crossing themselves) with their masks by pycocotools 2.0.11."""
    size = tuple(case["size"])
    expected = by_columns(coco_counts(case["counts"]), size)
    found = whole(filled(np.array(case["polygon"]).reshape(-1, 2), size), size)
    np.testing.assert_array_equal(found, expected)


# what pycocotools 2.0.11 encodes is an array in the manner of numpy 1
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_any_polygon_is_that_of_pycocotools() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(3)
    for number in range(300):
        size = tuple(int(length) for length in rng.integers(1, 60, 2))
        corners = rng.uniform(-9, 69, (int(rng.integers(3, 12)), 2)).round(number % 3)
        runs = mask.frPyObjects([corners.reshape(-1).tolist()], *size)[0]
        np.testing.assert_array_equal(whole(filled(corners, size), size), mask.decode(runs).astype(bool))
        noise = rng.random(size) < 0.5
        counts = mask.encode(np.asfortranarray(noise.astype(np.uint8)))["counts"].decode()
        np.testing.assert_array_equal(by_columns(coco_counts(counts), size), noise)


@pytest.mark.parametrize(
    ("corners", "inside"),
    [
        ([2, 1, 6, 1, 6, 4, 2, 4], lambda y, x: (x > 2) & (x < 6) & (y > 1) & (y < 4)),
        ([0, 0, 8, 0, 0, 8], lambda y, x: x + y < 8 - 1e-9),
        ([-3, -3, 30, -3, 30, 5.4, -3, 5.4], lambda y, x: y < 5.4),
        # two squares in one line: what is inside both is outside
        ([0, 0, 6, 0, 6, 9, 3, 9, 3, 3, 9, 3, 9, 6, 0, 6], in_crossing),
    ],
    ids=["rectangle", "triangle", "cut off", "crossing itself"],
)
def test_a_pixel_is_inside_when_its_centre_is(corners: list[float], inside: object) -> None:
    size = (10, 10)
    ys, xs = np.mgrid[: size[0], : size[1]] + 0.5
    found = whole(filled(points_of(corners), size), size)
    expected = inside(ys, xs)  # type: ignore[operator]
    on_the_line = np.isclose(xs + ys, 8) if len(corners) == 6 else np.zeros(size, bool)
    np.testing.assert_array_equal(found[~on_the_line], expected[~on_the_line])


def test_holes_stay_holes() -> None:
    area = Polygons((points_of([1, 1, 9, 1, 9, 9, 1, 9]),), (points_of([3, 3, 6, 3, 6, 7, 3, 7]),))
    expected = np.zeros((10, 10), bool)
    expected[1:9, 1:9] = True
    expected[3:7, 3:6] = False
    np.testing.assert_array_equal(whole(area.draw((10, 10)), (10, 10)), expected)


def test_polygons_of_one_annotation_are_joined() -> None:
    area = Polygons((points_of([0, 0, 4, 0, 4, 4, 0, 4]), points_of([2, 2, 6, 2, 6, 6, 2, 6])))
    expected = np.zeros((8, 8), bool)
    expected[0:4, 0:4] = expected[2:6, 2:6] = True
    np.testing.assert_array_equal(whole(area.draw((8, 8)), (8, 8)), expected)


def test_ellipses_boxes_and_shares_of_the_size() -> None:
    ys, xs = np.mgrid[:12, :16] + 0.5
    found = whole(Ellipse(8, 6, 5, 3).draw((12, 16)), (12, 16))
    np.testing.assert_array_equal(found, ((xs - 8) / 5) ** 2 + ((ys - 6) / 3) ** 2 <= 1)
    turned = whole(Ellipse(8, 6, 5, 3, degrees=90).draw((12, 16)), (12, 16))
    np.testing.assert_array_equal(turned, ((xs - 8) / 3) ** 2 + ((ys - 6) / 5) ** 2 <= 1)
    # a quarter turn clockwise about the upper left corner: down becomes left
    quarter = whole(box(8, 2, 4, 3, degrees=90).draw((12, 16)), (12, 16))
    np.testing.assert_array_equal(quarter, (xs > 5) & (xs < 8) & (ys > 2) & (ys < 6))
    half = whole(Relative(np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1]])).draw((12, 16)), (12, 16))
    np.testing.assert_array_equal(half, xs < 8)


def test_a_bitmap_is_cut_off_at_the_image() -> None:
    flags = np.ones((4, 4), bool)
    flags[3, 3] = False
    expected = np.zeros((5, 6), bool)
    expected[:3, :2] = True
    expected[2, 1] = False
    np.testing.assert_array_equal(whole(Bitmap(-2, -1, flags).draw((5, 6)), (5, 6)), expected)
    assert Bitmap(9, 0, flags).draw((5, 6)).area == 0


def test_an_outline_without_end_is_refused_before_it_is_drawn() -> None:
    with pytest.raises(ValueError, match="outline is 9999999 pixels long"):
        filled(points_of([-1e6, 0, 1e6, 0, 1e6, 1e6, -1e6, 1e6, -1e6, 0, 1e6, 0]), (10, 10))


def test_runs_that_do_not_fill_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 5, but there are 6 pixels"):
        by_columns([2, 3], (2, 3))
    with pytest.raises(ValueError, match="negative"):
        by_rows([-1, 7], (2, 3))
    with pytest.raises(ValueError, match="end within a number"):
        coco_counts("o")
    with pytest.raises(ValueError, match=r"run lengths are of 2x3 pixels, but its image is 4x3"):
        CocoRuns((6,), (2, 3)).draw((4, 3))


def packed_brush(alpha: np.ndarray, repeated: bool) -> list[int]:
    """Label Studio's packing, written from its description: 8-bit values of RGBA, run widths 3, 4, 8 and 16."""
    values = np.repeat(alpha.reshape(-1, 1).astype(np.uint8) * 255, 4, axis=1).reshape(-1).tolist()
    bits = f"{len(values):032b}{8 - 1:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        end = place + 1
        while end < len(values) and end - place < 60000 and (values[end] == values[place] or not repeated):
            end += 1
        length = end - place - 1
        choice = next(i for i, width in enumerate((3, 4, 8, 16)) if length < 1 << width)
        bits += f"{int(repeated)}{choice:02b}" + f"{length:0{(3, 4, 8, 16)[choice]}b}"
        bits += f"{values[place]:08b}" if repeated else "".join(f"{value:08b}" for value in values[place:end])
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize("repeated", [True, False])
def test_brushes_are_unpacked_bit_for_bit(repeated: bool) -> None:
    alpha = np.random.default_rng(0).random((7, 9)) < 0.4
    np.testing.assert_array_equal(brush(packed_brush(alpha, repeated), (7, 9)), alpha)
    with pytest.raises(ValueError, match="brush has 252 values, expected 4 for each of 8x9 pixels"):
        brush(packed_brush(alpha, repeated), (8, 9))
    with pytest.raises(ValueError, match="ends within its data"):
        brush(packed_brush(alpha, repeated)[:-3], (7, 9))
