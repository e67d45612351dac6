"""Labels are resized on the grid of their images: edges stay where they are, to a fraction of a pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hardedge.data.sampling import nearest, nearest_places
from hardedge.deploy.foreign.as_given import resize_bilinear

SCALES = (0.5, 0.6, 0.75, 0.9, 1.1, 1.25, 1.4, 1.5, 2.0)
LENGTH = 240
EDGES = range(60, 180)


def edge_of(values_W: np.ndarray) -> float:
    """Where a row that goes from 0 to 1 does so: the width of what is dark."""
    return len(values_W) - float(values_W.sum())


@pytest.mark.parametrize("scale", SCALES)
def test_an_edge_stays_where_it_is(scale: float) -> None:
    after = round(LENGTH * scale)
    offsets = [
        edge_of(nearest((np.arange(LENGTH) >= edge).astype(np.uint8)[None], (1, after))[0]) - edge * scale
        for edge in EDGES
    ]
    # labels have whole pixels: half a pixel for one edge, nothing on average
    assert max(map(abs, offsets)) <= 0.5 + 1e-9
    assert np.mean(offsets) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("length", [20, 23, 30, 44, 50, 60, 80])
def test_it_is_the_grid_of_images(length: int) -> None:
    """A slope keeps its values: as Pillow resizes it, and as a network of another size than the image sees it."""
    slope_HW = np.repeat(np.arange(40, dtype=np.uint8)[:, None], 2, axis=1)
    label_HW = nearest(slope_HW, (length, 2))
    inner = slice(length // 8, length - length // 8)  # filters reach over the border
    pillow = Image.fromarray(slope_HW.astype(np.float32)).resize((2, length), Image.Resampling.BILINEAR)
    for image_HW in (np.asarray(pillow), resize_bilinear(slope_HW[None].astype(np.float32), (length, 2))[0]):
        difference_HW = (label_HW - image_HW)[inner]
        assert abs(difference_HW).max() <= 0.5 + 1e-4
        assert difference_HW.mean() == pytest.approx(0, abs=0.05)


@given(before=st.integers(1, 300), after=st.integers(1, 300))
def test_every_place_is_the_nearest_one(before: int, after: int) -> None:
    places = nearest_places(before, after)
    assert places.min() >= 0
    assert places.max() < before
    centres = (np.arange(after) + 0.5) * before / after
    assert np.abs(places + 0.5 - centres).max() <= 0.5 + 1e-9
    assert np.array_equal(nearest_places(before, before), np.arange(before))


def test_a_tie_is_decided_in_turns() -> None:
    assert nearest_places(8, 4).tolist() == [0, 3, 4, 7]
    assert nearest_places(4, 6).tolist() == [0, 1, 1, 2, 2, 3]
