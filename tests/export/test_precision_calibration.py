"""Calibration images and golden pairs by hardness."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.data.folder import open_dataset, read_image
from hardedge.errors import BadInput
from hardedge.export.calibration import by_hardness, calibration_of, chosen, golden_ids, write_calibration

RANKED = [f"i{number:02d}" for number in range(30)]


def write_maps(folder: Path, values: np.ndarray) -> dict[str, Path]:
    maps = {}
    for number, value in enumerate(values):
        maps[f"i{number:02d}"] = folder / f"i{number:02d}.png"
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(maps[f"i{number:02d}"])
    return maps


def test_ranks_follow_the_mean_of_the_map(tmp_path: Path) -> None:
    values = np.random.default_rng(0).permutation(30)
    maps = write_maps(tmp_path, values)
    assert [int(values[int(id[1:])]) for id in by_hardness(maps)] == list(range(30))
    level = write_maps(tmp_path, np.zeros(3))
    assert by_hardness(dict(reversed(level.items()))) == ["i00", "i01", "i02"]


def test_the_hardest_the_even_and_the_random() -> None:
    assert chosen(RANKED, "hardness", 4) == ("i26", "i27", "i28", "i29")
    assert chosen(RANKED, "stratified", 4) == ("i00", "i10", "i19", "i29")
    drawn = chosen(RANKED, "random", 4)
    assert drawn == chosen(list(reversed(RANKED)), "random", 4)
    assert len(set(drawn)) == 4
    assert drawn not in (chosen(RANKED, "hardness", 4), chosen(RANKED, "stratified", 4))
    assert chosen(RANKED, "stratified", 1) == ("i15",)


@pytest.mark.parametrize("by", ["random", "hardness", "stratified"])
def test_all_where_there_are_no_more(by: str) -> None:
    assert chosen(RANKED, by, 100) == tuple(RANKED)  # type: ignore[arg-type]


def test_golden_images_are_the_hardest_the_easiest_and_random_ones(tmp_path: Path) -> None:
    values = np.random.default_rng(0).permutation(30) * 8
    maps = write_maps(tmp_path, values)
    golden = golden_ids(maps, 8)
    ranks = sorted(int(values[int(id[1:])]) // 8 for id in golden)
    assert ranks[:2] == [0, 1]
    assert ranks[-2:] == [28, 29]
    assert len(ranks) == 8
    assert ranks[2:-2] != [8, 12, 17, 21]  # evenly, as it once was
    assert list(golden) == sorted(golden)
    assert golden == golden_ids(maps, 8)
    assert golden_ids(dict(list(maps.items())[:8]), 8) == tuple(list(maps)[:8])


def test_calibration_images_are_training_images_pixel_by_pixel(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data)
    calibration = calibration_of(checkpoint, dataset, "hardness", 3)
    assert len(calibration.images) == 3
    assert set(calibration.images) < set(dataset.splits["train"])
    paths = write_calibration(calibration, dataset, tmp_path / "calibration")
    assert [path.stem for path in paths] == list(calibration.images)
    for path in paths:
        np.testing.assert_array_equal(read_image(path), dataset.image(path.stem))


def test_a_checkpoint_without_maps_of_these_images_is_refused(
    checkpoint: Path, tmp_path: Path, make_tiny_dataset: Callable[..., Path]
) -> None:
    other = make_tiny_dataset(tmp_path / "other", train=1)
    for path in (other / "images").iterdir():
        path.rename(path.with_name(f"other{path.name}"))
    for path in (other / "masks").iterdir():
        path.rename(path.with_name(f"other{path.name}"))
    for path in (other / "splits").iterdir():
        path.write_text("".join(f"other{id}\n" for id in path.read_text().split()))
    with pytest.raises(BadInput, match=r"hardness/train has no map of a training image .* trained on"):
        calibration_of(checkpoint, open_dataset(other), "random", 3)
