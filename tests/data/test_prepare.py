"""A prepared folder is the same data set, whatever layout it came from."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardedge.data.checking.check import check_dataset
from hardedge.data.opening import open_dataset
from hardedge.data.prepare import prepare
from hardedge.data.scribbles import write_scribbles
from hardedge.errors import BadInput

Masks = dict[str, np.ndarray]
Imitation = tuple[str, Path, Masks]
Program = Callable[..., subprocess.CompletedProcess[str]]


def test_it_holds_the_same_pixels_classes_and_splits(imitation: Imitation, tmp_path: Path) -> None:
    _, root, expected = imitation
    written = prepare(root, tmp_path / "prepared")
    before, after = open_dataset(root), open_dataset(tmp_path / "prepared")
    assert after.task == before.task
    assert after.splits == before.splits
    for id, expected_HW in expected.items():
        image_HWC, mask_HW = after.pair(id)
        np.testing.assert_array_equal(image_HWC, before.image(id))
        np.testing.assert_array_equal(mask_HW, expected_HW)
    files = [path for path in (tmp_path / "prepared").rglob("*") if path.suffix in (".bmp", ".png")]
    assert written == sum(path.stat().st_size for path in files)
    assert not check_dataset(tmp_path / "prepared").faults


def test_scribbles_come_along(tiny_dataset: Path, tmp_path: Path) -> None:
    write_scribbles(tiny_dataset)
    prepare(tiny_dataset, tmp_path / "prepared")
    before, after = open_dataset(tiny_dataset, "scribbles"), open_dataset(tmp_path / "prepared", "scribbles")
    for id in before.splits["train"]:
        np.testing.assert_array_equal(after.training_pair(id)[1], before.training_pair(id)[1])


def test_an_unreadable_image_is_named_and_nothing_is_left(tiny_dataset: Path, tmp_path: Path) -> None:
    id = open_dataset(tiny_dataset).splits["train"][0]
    path = open_dataset(tiny_dataset).image_path(id)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match=path.name):
        prepare(tiny_dataset, tmp_path / "there/prepared")
    assert not list((tmp_path / "there").iterdir())


def test_the_command_says_what_it_wrote_and_replaces_nothing(
    hardedge: Program, tiny_dataset: Path, tmp_path: Path
) -> None:
    done = hardedge("prepare", tiny_dataset, "--out", tmp_path / "prepared")
    assert done.returncode == 0, done.stderr
    assert f"hardedge train RECIPE --data {tmp_path / 'prepared'}" in done.stdout
    again = hardedge("prepare", tiny_dataset, "--out", tmp_path / "prepared")
    assert again.returncode == 2
    assert f"{tmp_path / 'prepared'} exists. Remove it first." in " ".join(again.stderr.split())
