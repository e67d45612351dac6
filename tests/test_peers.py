"""The comparison with peers: what is timed, what Ultralytics is given, and the two arms that run one network."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hardedge.data import open_dataset
from hardedge.errors import BadInput

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TRAINED = "        1/1         0G      2.304     0.9162     0.8855          4        192: "
TESTED = "                 Class     Images     Pixels       mIoU     PixAcc: "


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("peers")
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(BENCHMARKS) in str(sys.modules[name].__file__):
            del sys.modules[name]


def counting(text: str, pause: float) -> tuple[str, ...]:
    """A program that takes a while to start, then tells `text` for each of 8 with a pause before, and its seconds."""
    program = (
        "import time; time.sleep(0.5); began = time.perf_counter()\n"
        f"for k in range(1, 9):\n time.sleep({pause})\n print({text}, flush=True)\n"
        "print('in', time.perf_counter() - began)"
    )
    return (sys.executable, "-c", program)


@pytest.mark.parametrize(
    ("text", "counter"),
    [
        ("f'{k}/8'", "COUNTED"),
        (f"f'\\r{TRAINED}12% ━╸────────── {{k}}/8 1.5it/s 4.9s<27.8s'", "STEPS"),
        (f"f'\\r{TESTED}8% ━─────────── {{k}}/8 7.0it/s 0.3s<6.2s'", "EVALUATED"),
        ("f'image {k}/8 /tmp/4/8/street0007.png: 96x160 26.5ms'", "IMAGES"),
    ],
)
def test_a_loop_is_timed_from_count_to_count(peers: ModuleType, text: str, counter: str) -> None:
    """Without the time that the program takes to start; sleeps last at least as long as they say."""
    commands = sys.modules["peer_commands"]
    loop = commands.Loop(counting(text, 0.2), getattr(commands, counter))
    seconds, told = peers.looped(loop, {"PYTHONUTF8": "1"})
    whole = float(told.rsplit("in ", 1)[1])  # as slow as the machine is
    # an eighth of it, but for what this process is late by at the first count or at the last
    assert 0.04 <= seconds < whole / 3
    assert "8/8" in told


def test_a_program_that_fails_is_told_with_what_it_said(peers: ModuleType) -> None:
    loop = sys.modules["peer_commands"].Loop((sys.executable, "-c", "print('no such model'); raise SystemExit(7)"))
    with pytest.raises(BadInput, match=r"ended with 7:\nno such model"):
        peers.looped(loop, {})


def test_a_loop_without_counts_is_refused(peers: ModuleType) -> None:
    loop = sys.modules["peer_commands"].Loop((sys.executable, "-c", "print('3/8')"))
    with pytest.raises(BadInput, match="told 1 counts"):
        peers.looped(loop, {})


def test_both_tables_of_miou_are_read(peers: ModuleType) -> None:
    rows = ("all         48     604914      0.236      0.616", "sky         48     107274      0.718      0.812")
    theirs = "".join(f"                   {row}\n" for row in rows)
    assert peers.miou_of(theirs) == pytest.approx(23.6)
    assert peers.miou_of("47/48\nmIoU 23.6412\n") == 23.6412


def test_data_is_made_one_size_and_described_for_ultralytics(
    peers: ModuleType, tiny_dataset: Path, tmp_path: Path
) -> None:
    data = peers.one_size(tiny_dataset, tmp_path / "sized", (32, 64), {"train": 3, "val": 1, "test": 2})
    assert {split: len(ids) for split, ids in data.splits.items()} == {"train": 3, "val": 1, "test": 2}
    image_HWC, mask_HW = data.pair(data.splits["test"][0])
    assert image_HWC.shape == (32, 64, 3)
    assert set(mask_HW.flat) <= {0, 1, 2, 255}
    with pytest.raises(BadInput, match="2 images in val, 3 were asked for"):
        peers.one_size(tiny_dataset, tmp_path / "more", (32, 64), {"train": 3, "val": 3, "test": 2})
    described = sys.modules["peer_commands"].write_described(data, tmp_path / "ultralytics")
    assert described.read_text().splitlines() == [
        f"path: {tmp_path / 'ultralytics'}",
        *("train: train.txt", "val: val.txt", "test: test.txt", "masks_dir: masks"),
        *("names:", "  0: sky", "  1: road", "  2: car"),
    ]
    for line in (tmp_path / "ultralytics/test.txt").read_text().split():
        image = tmp_path / "ultralytics" / line
        assert image.is_file()
        assert (tmp_path / "ultralytics/masks" / image.name).is_file()


@pytest.mark.slow
def test_both_arms_run_one_network(tmp_path: Path) -> None:
    """The whole of it without Ultralytics: one network and one set of weights give one mask; minutes of processes."""
    command = [sys.executable, str(BENCHMARKS / "peers.py"), "--json", "--out", str(tmp_path / "peers")]
    small = ["--images", "12", "--batch", "2", "--size", "64", "96", "--epochs", "1", "--blocks", "1"]
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sizes"]["plain script"]["multiply_adds"] == told["sizes"]["hardedge"]["multiply_adds"]
    # float32 in two orders: a pixel may fall on the other side of a tie
    assert told["same_mask"] >= 0.999
    assert told["miou"]["plain script"] == pytest.approx(told["miou"]["hardedge"], abs=0.2)
    assert set(told["first"]["hardedge"]) == {"train", "export", "first mask"}
    for arms in told["loops"].values():
        assert set(arms) == {"plain script", "plain script again", "hardedge"}
        assert all(arm["ms"] > 0 for arm in arms.values())
    assert len(open_dataset(tmp_path / "peers/data").splits["test"]) == 12
