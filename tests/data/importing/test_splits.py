"""The splits of an import: the source's own, by folders or lists, dealt; near duplicates and groups never part."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.data.importing.splits import Splitting
from hardedge.errors import BadInput

CLASSES = ("road", "car")


def write(bench: Any, names: list[str], same: dict[str, str] | None = None) -> None:
    """Images of soft colours and masks; those of `same` are another image at 3/2 of its size, as JPEG."""
    values = bench.blank()
    values[:, 12:] = 1
    for name in names:
        soft = Image.open(bench.photo(f"images/{name}.png", size=(4, 6))).resize((60, 40), resample=3)
        soft.save(bench.source / f"images/{name}.png")
        bench.mask(f"masks/{name}.png", np.kron(values, np.ones((2, 2))))
    for name, other in (same or {}).items():
        image = Image.open(bench.source / f"images/{other}.png").resize((90, 60), resample=1)
        path = bench.source / f"images/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=60)
        bench.mask(f"masks/{name}.png", np.kron(values, np.ones((3, 3))))


def home(bench: Any, id: str) -> str:
    (split,) = [split for split in ("train", "val", "test") if id in bench.split(split)]
    return split


def test_near_duplicates_are_in_one_split(bench: Any, noted: Any) -> None:
    names = [f"n{number}" for number in range(12)]
    write(bench, names, {f"again{number}": f"n{number}" for number in range(6)})
    record = bench.imported("indices", classes=CLASSES)
    for number in range(6):
        assert home(bench, f"again{number}") == home(bench, f"n{number}")
    assert noted(record)["kept together", "image"] == 12
    assert sum(split.groups for split in record.splits) == 12
    # whatever the seed
    seeds = [Splitting(seed=seed, ratios={"train": 50, "val": 25, "test": 25}) for seed in range(3)]
    for splitting in seeds:
        alone = replace(bench, out=bench.out.with_name(f"seed{splitting.seed}"))
        alone.imported("indices", classes=CLASSES, splitting=splitting)
        assert all(home(alone, f"again{number}") == home(alone, f"n{number}") for number in range(6))


@pytest.mark.parametrize("rule", ["folder", r"^drive(\d)"])
def test_groups_are_in_one_split(bench: Any, rule: str) -> None:
    write(bench, [f"drive{drive}/f{drive}{frame}" for drive in range(5) for frame in range(4)])
    record = bench.imported("indices", classes=CLASSES, splitting=Splitting(group_by=(rule,)))
    for drive in range(5):
        assert len({home(bench, f"f{drive}{frame}") for frame in range(4)}) == 1
    assert [(split.images, split.groups) for split in record.splits] == [(12, 3), (4, 1), (4, 1)]
    with pytest.raises(BadInput, match="1 group of images cannot fill 3 splits"):
        replace(bench, out=bench.out.with_name("other")).imported(
            "indices", classes=CLASSES, splitting=Splitting(group_by=("f",))
        )


def test_the_sources_own_splits_are_kept_and_their_leaks_told(bench: Any, noted: Any) -> None:
    write(bench, ["train/a", "train/b", "val/c", "test/d"], {"val/a2": "train/a"})
    record = bench.imported("indices", classes=CLASSES)
    assert [bench.split(name) for name in ("train", "val", "test")] == [["a", "b"], ["a2", "c"], ["d"]]
    assert noted(record)["leaking", "image of val or test"] == 1
    other = replace(bench, out=bench.out.with_name("other"))
    ratios = {"train": 60, "val": 20, "test": 20}
    record = other.imported("indices", classes=CLASSES, splitting=Splitting(ratios=ratios))
    assert home(other, "a") == home(other, "a2")
    assert noted(record)["changed", "split"] == 1
    assert ("leaking", "image of val or test") not in noted(record)


def test_a_missing_split_is_dealt_from_train(bench: Any, noted: Any) -> None:
    write(bench, [*(f"train/n{number}" for number in range(9)), "val/v"], {"train/again": "train/n0"})
    record = bench.imported("indices", classes=CLASSES)
    assert bench.split("val") == ["v"]
    assert len(bench.split("test")) == 1
    assert home(bench, "again") == home(bench, "n0")
    assert noted(record)["changed", "image to test"] == 1


def test_splits_by_folder_and_by_lists(bench: Any, tmp_path: Path) -> None:
    write(bench, ["x/train/a", "x/valid/b", "y/test/c", "y/test/d"])
    bench.imported("indices", classes=CLASSES, splitting=Splitting(by="folder"))
    assert [bench.split(name) for name in ("train", "val", "test")] == [["a"], ["b"], ["c", "d"]]
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text("c\ny/test/d.png\n")
    (lists / "val.txt").write_text("x\\train\\a.png\n")
    (lists / "test.txt").write_text("b.png\n")
    other = replace(bench, out=bench.out.with_name("other"))
    other.imported("indices", classes=CLASSES, splitting=Splitting(by=str(lists)))
    assert [other.split(name) for name in ("train", "val", "test")] == [["c", "d"], ["a"], ["b"]]
    (lists / "test.txt").write_text("c\n")
    third = replace(bench, out=bench.out.with_name("third"))
    with pytest.raises(BadInput) as caught:
        third.imported("indices", classes=CLASSES, splitting=Splitting(by=str(lists)))
    assert "test.txt:1: c is also in train.txt" in str(caught.value)
    assert "x/valid/b.png: in no list" in str(caught.value)
    assert not third.out.exists()
    bench.photo("images/e.png")
    bench.mask("masks/e.png", bench.blank())
    with pytest.raises(BadInput, match=r"e\.png: no folder named train, val or test"):
        third.imported("indices", classes=CLASSES, splitting=Splitting(by="folder"))
