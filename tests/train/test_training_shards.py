"""Training from shards: each image once an epoch, the folder's training bit for bit, and exact after a kill."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hardedge.data.opening import open_dataset
from hardedge.data.sharding import write_shards
from hardedge.errors import BadInput
from hardedge.train import loop
from hardedge.train.batches.epoch_order import EpochOrder, mix_seed
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]
CPU = torch.device("cpu")
RESULTS = ("weights.safetensors", "last.safetensors", "training_only.safetensors", "metrics.jsonl")


@pytest.fixture
def sharded(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> Callable[[int], Path]:
    """37 training images in shards of that size, beside the folder `tiny`, whose lists are in the shards' order."""

    def made(size: int) -> Path:
        folder = make_tiny_dataset(tmp_path / "tiny", train=37, val=3, test=2, size=(32, 48))
        write_shards(folder, tmp_path / "sharded", shard_size=size)
        for split, ids in open_dataset(tmp_path / "sharded").splits.items():
            (folder / f"splits/{split}.txt").write_text("\n".join(ids))
        return tmp_path / "sharded"

    return made


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_has_each_place_once_and_opens_16_shards_at_once(blocks: list[int], seed: int, epoch: int) -> None:
    order = EpochOrder(blocks, seed)
    places = [order.place(epoch, turn) for turn in range(len(order))]
    assert sorted(places) == list(range(sum(blocks)))
    shard_of = [shard for shard, count in enumerate(blocks) for _ in range(count)]
    seen: list[int] = []
    for shard in (shard_of[place] for place in places):
        seen += [] if shard in seen else [shard]
    first, last = ({shard: turns for shard, turns in ends} for ends in _ends([shard_of[place] for place in places]))
    for shard in seen:
        for other in seen[seen.index(shard) + 31 :]:  # of another window
            assert last[shard] < first[other]
    anywhere = EpochOrder(blocks, seed)
    assert [anywhere.place(epoch, turn) for turn in reversed(range(len(order)))] == places[::-1]


def _ends(shards: list[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Each shard with its first turn, and with its last."""
    turns = list(enumerate(shards))
    return [(shard, turn) for turn, shard in reversed(turns)], [(shard, turn) for turn, shard in turns]


def test_epochs_and_seeds_differ_in_the_order_of_shards_and_within_them() -> None:
    orders = {(seed, epoch): EpochOrder([5] * 40, seed) for seed in (0, 1) for epoch in (0, 1)}
    places = {key: tuple(order.place(key[1], turn) for turn in range(200)) for key, order in orders.items()}
    assert len(set(places.values())) == 4
    windows = {key: frozenset(place // 5 for place in found[:80]) for key, found in places.items()}
    assert all(len(window) == 16 for window in windows.values())
    assert len(set(windows.values())) == 4


def test_a_folder_is_shuffled_as_a_whole() -> None:
    order = EpochOrder([37], seed=5)
    expected = torch.randperm(37, generator=torch.Generator().manual_seed(mix_seed(5, "epoch", 2))).tolist()
    assert [order.place(2, turn) for turn in range(37)] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_has_each_image_once_with_any_workers(
    sharded: Callable[[int], Path], tiny_recipe: Tiny, workers: int
) -> None:
    dataset = open_dataset(sharded(2))  # 19 shards: two windows
    recipe = tiny_recipe(batch=1, workers=workers)
    batches = training_batches(TrainingSamples(dataset, recipe), recipe, CPU, first=0, last=111)
    ids = [id for batch in batches for id in batch.ids]
    expected = Counter(open_dataset(dataset.root.parent / "tiny").splits["train"])
    epochs = [ids[start : start + 37] for start in (0, 37, 74)]
    assert [Counter(epoch) for epoch in epochs] == [expected] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    later = training_batches(TrainingSamples(dataset, recipe), recipe, CPU, first=50, last=54)
    assert [id for batch in later for id in batch.ids] == ids[50:54]


def test_from_16_shards_or_fewer_a_training_is_the_folders_bit_for_bit(
    sharded: Callable[[int], Path], tiny_recipe: Tiny, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=24, evaluate_every=12, brightness=0.2)  # 48 of 37 images: into the second epoch
    root = sharded(3)
    ours, theirs = (train(recipe, data, tmp_path / data.name / "run") for data in (root, tmp_path / "tiny"))
    for name in RESULTS:
        assert (root / "run" / name).read_bytes() == (tmp_path / "tiny/run" / name).read_bytes(), name
    assert ours is not None
    assert theirs is not None
    assert ours.validation == theirs.validation
    maps = sorted(path.relative_to(root) for path in (root / "run/hardness").rglob("*.png"))
    assert len(maps) == 37 + 2
    for path in maps:
        assert (root / path).read_bytes() == (tmp_path / "tiny" / path).read_bytes()


def test_a_training_stopped_within_an_epoch_goes_on_bit_for_bit(
    sharded: Callable[[int], Path], tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, recipe = sharded(2), tiny_recipe(steps=22, workers=2)
    step, seen = loop.training_step, []

    def stops(state: Any, *rest: Any) -> Any:
        if state.step == 13:
            raise KeyboardInterrupt
        return step(state, *rest)

    def watched(state: Any, recipe: Recipe, batch: Any) -> Any:
        seen.append(batch.ids)
        return step(state, recipe, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, root, tmp_path / "stopped")
    monkeypatch.setattr(loop, "training_step", watched)
    train(recipe, root, tmp_path / "whole")
    whole, seen[:] = list(seen), []
    train(recipe, root, tmp_path / "stopped", resume=True)
    assert seen == whole[10:]  # the state of step 10 was the last
    for name in RESULTS:
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_damaged_shard_ends_it_even_where_unreadable_images_are_skipped(
    sharded: Callable[[int], Path], tiny_recipe: Tiny, tmp_path: Path
) -> None:
    root = sharded(8)
    dataset = open_dataset(root)
    first = dataset.splits["train"][8]
    path = root / "shards/train-000001.tar"
    content = bytearray(path.read_bytes())
    content[dataset.shards.table(dataset.shards.index.splits["train"][1]).members[first]["png"][0] + 60] ^= 255  # type: ignore[union-attr]
    path.write_bytes(content)
    recipe = tiny_recipe(batch=1, skip_unreadable=True, steps=37)
    batches = training_batches(TrainingSamples(open_dataset(root), recipe), recipe, CPU, first=0, last=37)
    skipped = [each for batch in batches for each in batch.unreadable]
    assert [id for id, _ in skipped] == [first]
    assert f"train-000001.tar/{first}.png cannot be read as an image" in skipped[0][1]
    path.write_bytes(b"x" * len(content))
    batches = training_batches(TrainingSamples(open_dataset(root), recipe), recipe, CPU, first=0, last=37)
    with pytest.raises(BadInput, match=r"train-000001\.tar: damaged at or after its beginning"):
        list(batches)


def test_other_shards_are_not_resumed_with(sharded: Callable[[int], Path], tiny_recipe: Tiny, tmp_path: Path) -> None:
    root, recipe = sharded(8), tiny_recipe(steps=2, evaluate_every=1)
    train(recipe, root, tmp_path / "out")
    (tmp_path / "out/checkpoint.json").unlink()
    write_shards(tmp_path / "tiny", tmp_path / "other", shard_size=7)
    with pytest.raises(BadInput, match="data: other files, splits or classes than then"):
        train(recipe, tmp_path / "other", tmp_path / "out", resume=True)
