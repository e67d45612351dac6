"""Shards are the same data set as the folder they were made of, and damage in them is told."""

import gc
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardedge.data.checking.check import check_dataset
from hardedge.data.opening import open_dataset
from hardedge.data.scribbles import write_scribbles
from hardedge.data.sharded_dataset import ShardedDataset
from hardedge.data.sharding import write_shards
from hardedge.data.shards import member_name, shard_order
from hardedge.errors import BadInput

Masks = dict[str, np.ndarray]
Imitation = tuple[str, Path, Masks]
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sharded(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> Path:
    """17 training, 3 validation and 5 test images in shards of 4, beside the folder `tiny`."""
    make_tiny_dataset(tmp_path / "tiny", train=17, val=3, test=5)
    write_shards(tmp_path / "tiny", tmp_path / "sharded", shard_size=4)
    return tmp_path / "sharded"


def test_they_hold_the_same_pixels_classes_and_splits(imitation: Imitation, tmp_path: Path) -> None:
    name, root, expected = imitation
    write_shards(root, tmp_path / "sharded", shard_size=2)
    before, after = open_dataset(root), open_dataset(tmp_path / "sharded")
    assert (after.name, after.task) == (name, before.task)
    for split, ids in before.splits.items():
        assert list(after.splits[split]) == sorted(ids, key=shard_order)
    assert set(after.images) == set(expected)
    for id, expected_HW in expected.items():
        image_HWC, mask_HW = after.pair(id)
        np.testing.assert_array_equal(image_HWC, before.image(id))
        np.testing.assert_array_equal(mask_HW, expected_HW)
    theirs, ours = check_dataset(root), check_dataset(tmp_path / "sharded")
    assert (ours.faults, ours.splits, ours.classes) == ((), theirs.splits, theirs.classes)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # its reader leaves files to the collector
def test_webdataset_itself_reads_them(sharded: Path) -> None:
    from webdataset import WebDataset

    folder = open_dataset(sharded.parent / "tiny")
    tars = sorted(str(path) for path in (sharded / "shards").glob("train-*.tar"))
    samples = list(WebDataset(tars, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == sorted(folder.splits["train"], key=shard_order)
    for sample in samples:
        id = sample["__key__"]
        assert sample["png"] == folder.image_path(id).read_bytes()
        assert sample["mask.png"] == folder.mask_path(id).read_bytes()
    gc.collect()


def test_ids_are_found_by_name_and_by_place_and_files_have_their_digests(sharded: Path) -> None:
    folder, shards = open_dataset(sharded.parent / "tiny"), open_dataset(sharded)
    assert shards.blocks("train") == (4, 4, 4, 4, 1)
    assert {split: len(ids) for split, ids in shards.splits.items()} == {"train": 17, "val": 3, "test": 5}
    for split, ids in folder.splits.items():
        known = open_dataset(sharded).known(split)  # opened anew: no shard was read before
        assert all(id in known for id in ids)
        assert "another" not in known
        for id in ids:
            assert open_dataset(sharded).fingerprint(id) == folder.fingerprint(id)
    assert "another" not in shards.images
    assert shards.splits["val"][0] not in shards.known("train")
    whole = list(shards.splits["train"])
    assert list(shards.splits["train"][3::5]) == whole[3::5]
    assert [*shards.splits["train"][1::2], *shards.splits["train"][0::2]] == whole[1::2] + whole[0::2]
    assert shards.splits["train"][-1] == whole[-1]
    with pytest.raises(IndexError):
        shards.splits["train"][17]


def test_opening_reads_no_shard_and_no_more_tables_than_20_are_kept(sharded: Path) -> None:
    write_shards(sharded.parent / "tiny", sharded.parent / "single", shard_size=1)
    first = next((sharded.parent / "single/shards").glob("train-000000.tar"))
    first.write_bytes(bytes(first.stat().st_size))
    dataset = open_dataset(sharded.parent / "single")
    assert len(list(dataset.splits["val"])) == 3
    with pytest.raises(BadInput, match=r"train-000000\.tar: damaged at or after its beginning: 0 of its 1 pairs"):
        dataset.splits["train"][0]
    assert isinstance(dataset, ShardedDataset)
    for split in ("test", "val"):
        list(dataset.splits[split])
    for place in range(1, 17):
        dataset.image(dataset.splits["train"][place])
    assert len(dataset.shards._tables) == 20


def test_scribbles_come_along(tiny_dataset: Path, tmp_path: Path) -> None:
    write_shards(tiny_dataset, tmp_path / "without", shards=2)
    with pytest.raises(BadInput, match="the shards have no scribbles"):
        open_dataset(tmp_path / "without", "scribbles")
    write_scribbles(tiny_dataset)
    write_shards(tiny_dataset, tmp_path / "sharded", shards=2)
    before, after = open_dataset(tiny_dataset, "scribbles"), open_dataset(tmp_path / "sharded", "scribbles")
    for id in before.splits["train"]:
        np.testing.assert_array_equal(after.training_pair(id)[1], before.training_pair(id)[1])
        assert not np.array_equal(after.training_pair(id)[1], after.pair(id)[1])


@given(st.text(st.characters(blacklist_characters="\0", codec="utf-8"), min_size=1))
def test_any_id_is_a_key_without_dots(id: str) -> None:
    from urllib.parse import unquote

    key, dot, extension = member_name(id, "mask.png").partition(".")
    assert (unquote(key), dot, extension) == (id, ".", "mask.png")
    assert "/" not in key


def test_ids_with_dots_and_long_ones(tiny_dataset: Path, tmp_path: Path) -> None:
    names = {"scene000": "a.b", "scene001": "50%25 of é", "scene002": "n" * 150}
    for folder in ("images", "masks"):
        for old, new in names.items():
            (tiny_dataset / folder / f"{old}.png").rename(tiny_dataset / folder / f"{new}.png")
    (tiny_dataset / "splits/train.txt").write_text("a.b\n" + "n" * 150 + "\n")
    (tiny_dataset / "images/50%25 of é.png").rename(tiny_dataset / "images/50%25é.png")
    (tiny_dataset / "masks/50%25 of é.png").rename(tiny_dataset / "masks/50%25é.png")
    (tiny_dataset / "splits/val.txt").write_text("50%25é\n")
    write_shards(tiny_dataset, tmp_path / "sharded", shards=1)
    before, after = open_dataset(tiny_dataset), open_dataset(tmp_path / "sharded")
    for id in ("a.b", "n" * 150, "50%25é"):
        np.testing.assert_array_equal(after.image(id), before.image(id))


def test_the_same_data_gives_the_same_bytes(sharded: Path) -> None:
    write_shards(sharded.parent / "tiny", sharded.parent / "again", shard_size=4)
    for path in sharded.rglob("*"):
        if path.is_file():
            assert (sharded.parent / "again" / path.relative_to(sharded)).read_bytes() == path.read_bytes()
    assert open_dataset(sharded).digest() == open_dataset(sharded.parent / "again").digest()


@pytest.mark.parametrize(("shards", "images"), [(5, (3, 3, 4, 3, 4)), (7, (2, 2, 3, 2, 3, 2, 3)), (17, (1,) * 17)])
def test_the_training_split_becomes_as_many_shards_as_asked_for(
    shards: int, images: tuple[int, ...], sharded: Path
) -> None:
    """7 shards of 17 images are not 6 of 3."""
    index = write_shards(sharded.parent / "tiny", sharded.parent / "again", shards=shards)
    assert tuple(shard.images for shard in index.splits["train"]) == images
    again = open_dataset(sharded.parent / "again")
    assert list(again.splits["train"]) == list(open_dataset(sharded).splits["train"])


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def test_a_truncated_shard_is_named_with_its_member(sharded: Path) -> None:
    path = sharded / "shards/train-000001.tar"
    third = members(path)[2]
    path.write_bytes(path.read_bytes()[: third.offset_data + 40])
    with pytest.raises(BadInput) as caught:
        open_dataset(sharded)
    assert f"bytes, expected {json.loads((sharded / 'shards.json').read_text())['splits']['train'][1]['bytes']}" in str(
        caught.value
    )
    assert f"train-000001.tar: damaged at or after member {third.name}: 1 of its 4 pairs can be found" in str(
        caught.value
    )
    (fault,) = [fault for fault in check_dataset(sharded).faults if "bytes, expected" in fault]
    assert third.name in fault


def test_a_shard_cut_while_it_is_used_is_named_with_its_member(sharded: Path) -> None:
    dataset = open_dataset(sharded)
    id = dataset.splits["train"][7]
    path = sharded / "shards/train-000001.tar"
    image = next(member for member in members(path) if member.name == f"{id}.png")
    path.write_bytes(path.read_bytes()[: image.offset_data + 10])
    with pytest.raises(BadInput, match=rf"train-000001\.tar/{id}\.png: the shard ends within this member"):
        dataset.image(id)


@pytest.mark.parametrize("where", ["header", "image", "mask"])
def test_altered_bytes_are_told(sharded: Path, where: str) -> None:
    path = sharded / "shards/train-000000.tar"
    found = {member.name.partition(".")[2]: member for member in members(path)}
    member = found["mask.png" if where == "mask" else "png"]
    content = bytearray(path.read_bytes())
    start = member.offset if where == "header" else member.offset_data + member.size // 2
    content[start : start + 16] = random.Random(0).randbytes(16)
    path.write_bytes(content)
    dataset, faults = open_dataset(sharded), check_dataset(sharded).faults
    if where == "header":
        with pytest.raises(BadInput, match=r"train-000000\.tar: damaged at or after member .*: 3 of its 4 pairs"):
            list(dataset.splits["train"])
        assert ["train-000000.tar: damaged at or after" in fault for fault in faults] == [True]
        return
    id = member.name.partition(".")[0]
    with pytest.raises(BadInput, match=rf"train-000000\.tar/{member.name} cannot be read as"):
        dataset.pair(id)
    assert faults[0].startswith("shards/train-000000.tar: altered since it was written (sha256)")
    assert faults[1].startswith(f"shards/train-000000.tar/{member.name} cannot be read as")
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"images": 4', '"images": "4"', r"shards\.json is not a valid shardindex"),
        ('"hardedge-shards-1"', '"hardedge-shards-2"', r"form: Input should be 'hardedge-shards-1'"),
        ('"val": [', '"value": [', "expected shards of train, val and test"),
        ("shards/test-000001.tar", "shards/test-000009.tar", r"shards/test-000009\.tar: missing"),
    ],
)
def test_a_faulty_index_is_told(sharded: Path, old: str, new: str, message: str) -> None:
    index = sharded / "shards.json"
    index.write_text(index.read_text().replace(old, new))
    with pytest.raises(BadInput, match=message):
        open_dataset(sharded)
    assert check_dataset(sharded).faults


def test_an_unreadable_image_is_named_and_nothing_is_left(tiny_dataset: Path, tmp_path: Path) -> None:
    path = open_dataset(tiny_dataset).image_path(open_dataset(tiny_dataset).splits["train"][-1])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match=path.name):
        write_shards(tiny_dataset, tmp_path / "there/sharded", shards=1)
    assert not list((tmp_path / "there").iterdir())


def test_what_cannot_be_is_refused(sharded: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--shards 18, but the training split has 17 images"):
        write_shards(tmp_path / "tiny", tmp_path / "out", shards=18)
    with pytest.raises(BadInput, match="is in shards already"):
        write_shards(sharded, tmp_path / "out", shards=2)
    with pytest.raises(BadInput, match="exists"):
        write_shards(tmp_path / "tiny", sharded, shards=2)
    with pytest.raises(BadInput, match="is in shards, and scribbles lie beside masks"):
        write_scribbles(sharded)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(hardedge: Program, tiny_dataset: Path, tmp_path: Path) -> None:
    both = hardedge("prepare", tiny_dataset, "--shards", 2, "--shard-size", 2, "--out", tmp_path / "out")
    assert both.returncode == 2
    assert "Give one of them." in both.stderr
    done = hardedge("prepare", tiny_dataset, "--shards", 2, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    tars = sorted((tmp_path / "out/shards").iterdir())
    assert [path.name for path in tars] == [
        *("test-000000.tar", "test-000001.tar", "train-000000.tar", "train-000001.tar", "val-000000.tar"),
    ]
    assert json.loads(done.stdout) == {
        "data": str(tmp_path / "out"),
        "bytes": sum(path.stat().st_size for path in tars),
    }


def _rewrite_keys(path: Path, change: Callable[[str], str]) -> None:
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member)) for member in tar]
        contents = [(member, file.read()) for member, file in members if file is not None]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in contents:
            key, dot, extension = member.name.partition(".")
            member.name = change(key) + dot + extension
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("slip", ["..%2F..%2Fslip", "%2Ftmp%2Fslip", "a%00", "%1B[2J", "%E2%80%AE", "%2E%2E"])
def test_a_key_that_cannot_name_a_file_is_refused_at_opening_and_by_check(slip: str, sharded: Path) -> None:
    first = open_dataset(sharded).splits["test"][0]
    key = member_name(first, "").removesuffix(".")
    _rewrite_keys(sharded / "shards/test-000000.tar", lambda found: slip if found == key else found)
    with pytest.raises(BadInput, match=r"test-000000\.tar.*cannot be used"):
        _ = open_dataset(sharded).splits["test"][0]
    (fault,) = [fault for fault in check_dataset(sharded).faults if "cannot be used" in fault]
    assert "\x1b" not in fault


def test_an_index_names_no_shard_outside_its_folder(sharded: Path) -> None:
    index = sharded / "shards.json"
    index.write_text(index.read_text().replace("shards/test-", "../shards/test-"))
    with pytest.raises(BadInput, match=r"shards\.json: shard .* is no path inside its directory"):
        open_dataset(sharded)
