"""Intervals of scores: they cover what a population has, follow the images, and are not there where nothing tells."""

import numpy as np
import numpy.typing as npt
import pytest

from hardedge.metrics import Counts, iou_per_class
from hardedge.statistics.score_intervals import iou_of_union, score_intervals


def test_iou_is_that_of_the_metrics() -> None:
    counts_CC = np.array([[8, 2, 0, 0], [1, 5, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0]])
    parts_C3 = np.stack((np.diag(counts_CC), counts_CC.sum(1), counts_CC.sum(0)), axis=-1)
    np.testing.assert_array_equal(iou_of_union(parts_C3), iou_per_class(counts_CC))


def test_too_few_images_and_no_spread_have_no_interval() -> None:
    parts_NC3 = np.zeros((12, 3, 3), np.int64)
    parts_NC3[:, 0] = 10, 10, 10  # always right
    parts_NC3[:4, 1] = [(5, 10, 10), (9, 10, 10), (1, 10, 10), (10, 10, 10)]  # in four images
    found = score_intervals(parts_NC3, ["sure", "rare", "absent"])
    assert found.per_class == {"sure": None, "rare": None, "absent": None}
    assert found.miou is not None
    assert found.images == 12


def test_equal_seeds_give_equal_intervals_and_they_hold_the_score() -> None:
    parts_NC3 = drawn(np.random.default_rng(3), 40)
    one, other = (score_intervals(parts_NC3, ["a", "b"]) for _ in range(2))
    assert one == other
    for index, name in enumerate("ab"):
        interval = one.per_class[name]
        assert interval is not None
        assert interval.low < 100 * iou_of_union(parts_NC3.sum(0))[index] < interval.high


def drawn(rng: np.random.Generator, images: int) -> Counts:
    """Images of two classes, of which each has a rate of hits of its own."""
    labelled_NC = rng.integers(50, 150, (images, 2))
    hit_NC = rng.binomial(labelled_NC, rng.beta(8, 4, (images, 2)))
    return np.stack((hit_NC, labelled_NC, hit_NC + rng.binomial(20, 0.5, (images, 2))), axis=-1)


@pytest.mark.parametrize("images", [20, 60])
def test_intervals_cover_the_population(images: int) -> None:
    rng = np.random.default_rng(images)
    true_C: npt.NDArray[np.float64] = 100 * iou_of_union(drawn(rng, 200_000).sum(0))
    held = []
    for _ in range(150):
        found = score_intervals(drawn(rng, images), ["a", "b"])
        for interval, true in [(found.miou, true_C.mean()), (found.per_class["a"], true_C[0])]:
            assert interval is not None
            held.append(interval.low <= true <= interval.high)
    # 300 draws at 95 %: three standard errors are 4 points
    assert np.mean(held) > 0.91
