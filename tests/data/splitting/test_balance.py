"""Groups dealt to splits: together, seeded, each class in its share."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardedge.data.splitting.balance import dealt
from hardedge.data.splitting.groups import Together, group_keys
from hardedge.errors import BadInput

RATIOS = {"train": 70.0, "val": 15.0, "test": 15.0}


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=3, max_size=60).filter(lambda groups: len(set(groups)) >= 3),
    seed=st.integers(0, 5),
    classes=st.integers(1, 5),
)
def test_groups_never_part_and_no_split_is_empty(groups: list[int], seed: int, classes: int) -> None:
    present = np.random.default_rng(seed).random((len(groups), classes)) < 0.3
    splits = dealt(groups, present, RATIOS, seed)
    homes = {
        group: {split for member, split in zip(groups, splits, strict=True) if member == group} for group in groups
    }
    assert all(len(home) == 1 for home in homes.values())
    assert set(splits) == set(RATIOS)
    assert splits == dealt(groups, present, RATIOS, seed)


def test_classes_are_balanced_by_images() -> None:
    """A class of 3 % is in every split in its share, which a random deal rarely does."""
    rng = np.random.default_rng(0)
    shares = np.array([1.0, 0.6, 0.2, 0.1, 0.03])
    present = rng.random((400, 5)) < shares
    groups = np.repeat(np.arange(200), 2).tolist()
    for seed in range(3):
        splits = np.array(dealt(groups, present, RATIOS, seed))
        for split, ratio in RATIOS.items():
            inside = present[splits == split]
            assert len(inside) == pytest.approx(4 * ratio, abs=3)
            wanted = present.sum(0) * ratio / 100
            np.testing.assert_allclose(inside.sum(0), wanted, atol=2.5)


def test_another_seed_deals_otherwise() -> None:
    present = np.ones((60, 1), bool)
    groups = list(range(60))
    assert dealt(groups, present, RATIOS, 0) != dealt(groups, present, RATIOS, 1)


def test_what_is_placed_stays_and_draws_its_group() -> None:
    groups = [0, 0, 1, 2, 3, 4]
    splits = dealt(groups, np.ones((6, 1), bool), RATIOS, 0, {0: "test", 3: "val"})
    assert splits[:2] == ["test", "test"]
    assert splits[4] == "val"
    assert Counter(splits)["train"] == 3


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(BadInput, match="2 groups of images cannot fill 3 splits"):
        dealt([0, 0, 1], np.ones((3, 1), bool), RATIOS, 0)


def test_groups_by_pattern_folder_and_time() -> None:
    names = ["cam1/0001.jpg", "cam1/0002.jpg", "cam2/0001.jpg", "other.jpg"]
    start = datetime(2026, 5, 1, 12)
    times = [start, start + timedelta(seconds=50), None, start + timedelta(seconds=200)]
    assert group_keys("folder", names, times) == ["cam1", "cam1", "cam2", "."]
    assert group_keys(r"cam(\d)", names, times) == [("1",), ("1",), ("2",), None]
    assert group_keys(r"\d{4}", names, times) == ["0001", "0002", "0001", None]
    assert group_keys("time:60", names, times) == [0, 0, None, 1]
    assert group_keys("time:150s", names, times) == [0, 0, None, 0]
    for rule, problem in {
        "(": "not a regular expression",
        "time:x": "number of seconds",
        "zebra": "matches no",
    }.items():
        with pytest.raises(BadInput, match=problem):
            group_keys(rule, names, times)
    with pytest.raises(BadInput, match="no image has an EXIF time"):
        group_keys("time:60", names, [None] * 4)


def test_groups_join_over_several_rules() -> None:
    together = Together(6)
    together.join_equal(["a", "a", None, None, "b", None])
    together.join(1, 3)
    together.join(5, 4)
    assert together.groups() == [0, 0, 2, 0, 4, 4]
