"""Calibration images, tiles of them, and golden pairs by hardness."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Calibration, Profile, parse_json, to_json
from hardedge.data.decoding import read_image, read_mask
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.export.graph.form import Form
from hardedge.export.precisions.calibration import (
    calibration_of,
    choose_images,
    golden_ids,
    order_by_hardness,
    write_calibration,
)
from hardedge.export.precisions.tiles import cut_tile, parse_tile, tile_size, tiles_by_hardness

FORM = Form(profiles=(Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(4, 1024, 2048)),))
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
    assert [int(values[int(id[1:])]) for id in order_by_hardness(maps)] == list(range(30))
    level = write_maps(tmp_path, np.zeros(3))
    assert order_by_hardness(dict(reversed(level.items()))) == ["i00", "i01", "i02"]


def test_the_hardest_the_even_and_the_random() -> None:
    assert choose_images(RANKED, "hardness", 4) == ("i26", "i27", "i28", "i29")
    assert choose_images(RANKED, "stratified", 4) == ("i00", "i10", "i19", "i29")
    drawn = choose_images(RANKED, "random", 4)
    assert drawn == choose_images(list(reversed(RANKED)), "random", 4)
    assert len(set(drawn)) == 4
    assert drawn not in (choose_images(RANKED, "hardness", 4), choose_images(RANKED, "stratified", 4))
    assert choose_images(RANKED, "stratified", 1) == ("i15",)


@pytest.mark.parametrize("by", ["random", "hardness", "stratified"])
def test_all_where_there_are_no_more(by: str) -> None:
    assert choose_images(RANKED, by, 100) == tuple(RANKED)  # type: ignore[arg-type]


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
    calibration = calibration_of(checkpoint, dataset, "hardness", 3, tile="whole", form=FORM)
    assert calibration.tiles == ()
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
        calibration_of(checkpoint, open_dataset(other), "random", 3, tile="auto", form=FORM)


def test_tiles_cover_an_image_and_are_ranked_by_their_part_of_the_map(tmp_path: Path) -> None:
    map_HW = np.zeros((100, 250), np.uint8)
    map_HW[52:, 150:] = 200
    map_HW[:48, :100] = 50
    Image.fromarray(map_HW).save(tmp_path / "a.png")
    ranked = tiles_by_hardness({"a": tmp_path / "a.png"}, (48, 100))
    # three rows, the last of which overlaps the second; three columns, the middle one from 75
    assert sorted({(tile.top, tile.left) for tile in ranked.values()}) == [
        (top, left) for top in (0, 26, 52) for left in (0, 75, 150)
    ]
    covered_HW = np.zeros_like(map_HW)
    for tile in ranked.values():
        assert (tile.height, tile.width) == cut_tile(map_HW, tile).shape == (48, 100)
        covered_HW[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] = 1
    assert covered_HW.all()
    means = [float(cut_tile(map_HW, tile).mean()) for tile in ranked.values()]
    assert means == sorted(means)
    assert list(ranked)[-1] == "a-y52-x150"
    assert means[-1] == 200


def test_a_small_image_is_one_tile_and_large_ones_compete_with_it(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 200), 100, np.uint8)).save(tmp_path / "flat.png")
    Image.fromarray(np.full((40, 30), 50, np.uint8)).save(tmp_path / "small.png")
    ranked = tiles_by_hardness({id: tmp_path / f"{id}.png" for id in ("flat", "small")}, (64, 100))
    assert list(ranked) == ["small-y0-x0", "flat-y0-x0", "flat-y0-x100"]
    assert (ranked["small-y0-x0"].height, ranked["small-y0-x0"].width) == (40, 30)


def test_calibration_tiles_are_parts_of_training_images(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data)
    calibration = calibration_of(checkpoint, dataset, "hardness", 5, tile=(64, 48), form=FORM)
    means = {
        (id, left): float(read_mask(checkpoint / "hardness" / "train" / f"{id}.png")[:, left : left + 48].mean())
        for id in dataset.splits["train"]
        for left in (0, 48)
    }
    hardest = sorted(means, key=lambda place: means[place])[-5:]
    assert {(tile.image, tile.left) for tile in calibration.tiles} == set(hardest)
    assert set(calibration.images) == {id for id, _ in hardest}
    paths = write_calibration(calibration, dataset, tmp_path / "calibration")
    assert sorted(path.stem for path in paths) == sorted(tile.name for tile in calibration.tiles)
    for tile in calibration.tiles:
        stored_HWC = read_image(tmp_path / "calibration" / f"{tile.name}.png")
        np.testing.assert_array_equal(stored_HWC, dataset.image(tile.image)[:, tile.left : tile.left + 48])
    assert parse_json(Calibration, to_json(calibration).encode(), "it") == calibration


@pytest.mark.parametrize(("text", "tile"), [("auto", "auto"), ("whole", "whole"), ("512x1024", (512, 1024))])
def test_a_tile_is_written_as_height_and_width(text: str, tile: object) -> None:
    assert parse_tile(text) == tile


@pytest.mark.parametrize("text", ["512", "0x512", "512x", "1x-1", "", "Auto"])
def test_another_tile_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--calibration-tile .*expected HEIGHTxWIDTH"):
        parse_tile(text)


LARGE = {"a": (1024, 2048), "b": (512, 512)}


def test_large_images_are_tiled_by_themselves_where_the_network_takes_the_tiles() -> None:
    assert tile_size("auto", LARGE, FORM) == (512, 1024)
    assert tile_size("auto", {"b": (512, 512), "c": (1024, 1024)}, FORM) is None
    assert tile_size("whole", LARGE, FORM) is None
    fixed = Profile(min=(1, 1024, 2048), opt=(1, 1024, 2048), max=(1, 1024, 2048))
    assert tile_size("auto", LARGE, Form(profiles=(fixed,))) is None
    # resized by the graph, a tile would be seen larger than it is
    resizing = Form(profiles=FORM.profiles, network_size=(512, 1024))
    assert tile_size("auto", LARGE, resizing) is None
    with pytest.raises(BadInput, match="256x256: the network runs at 512x1024, so that a tile would be seen larger"):
        tile_size((256, 256), LARGE, resizing)


@pytest.mark.parametrize("tile", [(2048, 512), (1024, 2049), (600, 600)])
def test_a_tile_larger_than_every_image_is_refused(tile: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="the largest calibration image is 512x512. Give a smaller tile"):
        tile_size(tile, {"b": (512, 512), "c": (64, 64)}, FORM)


def test_what_no_profile_holds_and_images_of_another_size_are_named(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    small = Form(profiles=(Profile(min=(1, 32, 32), opt=(1, 48, 48), max=(1, 48, 48), name="small"),))
    with pytest.raises(BadInput, match=r"fit no profile of small .*\n  scene\d+: 64x96\n(.*\n)*.*--calibration-tile"):
        calibration_of(checkpoint, open_dataset(data), "random", 2, tile="whole", form=small)
    with pytest.raises(BadInput, match=r"fit no profile of small .*\n  scene\d+-y\d+-x\d+: 64x48"):
        calibration_of(checkpoint, open_dataset(data), "random", 2, tile=(64, 48), form=small)
    shutil.copytree(data, tmp_path / "data")
    changed = open_dataset(tmp_path / "data").splits["train"][0]
    Image.new("RGB", (90, 64)).save(tmp_path / "data" / "images" / f"{changed}.png")
    with pytest.raises(BadInput, match=rf"{changed} is 64x90, its hardness map 64x96\n.*trained on, or train it again"):
        calibration_of(checkpoint, open_dataset(tmp_path / "data"), "random", 2, tile="auto", form=FORM)
