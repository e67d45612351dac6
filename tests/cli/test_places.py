"""Where a command writes is looked at before it works: one message, and nothing is left."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hardedge.cli import cli
from hardedge.errors import BadInput, HardedgeError, Unavailable

pytest.importorskip("torch")
pytest.importorskip("optuna")
pytest.importorskip("webdataset")
pytest.importorskip("cryptography")

Folder = Callable[..., Path]
STEPS = ("--set", "steps=1")
COMMANDS = {
    "prepare": ("prepare", "data", "--out"),
    "shards": ("prepare", "data", "--shards", "1", "--out"),
    "scenes": ("scenes", "--out"),
    "import": ("import", "coco", "data", "--out"),
    "train": ("train", "camvid", "--data", "data", *STEPS, "--out"),
    "edges": ("edges", "data", "--out"),
    "sweep": ("sweep", "camvid", "--data", "data", "--loss", "ce", *STEPS, "--out"),
    "search": ("search-loss", "camvid", "--data", "data", *STEPS, "--out"),
    "hard": ("hard", "data", "--checkpoint", "none", "--out"),
    "export": ("export", "none", "--data", "data", "--out"),
    "run": ("run", "--data", "data", "--out"),
    "deploy": ("deploy", "none", "--data", "data", "--out"),
    "deploy --cache": ("deploy", "none", "--data", "data", "--out", "deployed", "--cache"),
    "verify": ("verify", "none", "--out"),
    "bench": ("bench", "none", "--out"),
    "tune": ("tune", "none", "--data", "data", "--out"),
    "keep": ("keep", "none.onnx", "--out"),
    "triton": ("triton", "none", "--out"),
    "report": ("report", "a", "b", "--out"),
    "dossier": ("dossier", "none", "--out"),
    "sign": ("sign", "--new-key"),
}


@pytest.fixture
def here(make_tiny_dataset: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_tiny_dataset(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file/out", "file is a file: nothing can be written below it|file is a file. Give another"),
        ("/proc/out", "cannot write /proc"),
        ("link/out", "cannot write /proc/"),
        ("link", "cannot write /proc/"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_message(command: str, place: str, said: str, here: Path) -> None:
    (here / "file").touch()
    (here / "link").symlink_to("/proc/none")
    before = sorted(here.rglob("*"))
    with pytest.raises((BadInput, Unavailable), match=said) as caught:
        cli([*COMMANDS[command], place], standalone_mode=False)
    assert isinstance(caught.value, HardedgeError)
    assert sorted(here.rglob("*")) == before
