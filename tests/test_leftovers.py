"""What killed processes leave beside OUT goes with the next run; what a living one works in stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hardedge.artefact import staged_directory
from hardedge.leftovers import sweep

_WORK = """
import sys, time
from pathlib import Path
from hardedge.artefact import staged_directory
with staged_directory(Path(sys.argv[1]), force=True) as partial:
    (partial / "mask.png").write_bytes(b"half")
    print("working", flush=True)
    time.sleep(60)
"""


def _worker(out: Path) -> "subprocess.Popen[str]":
    worker = subprocess.Popen([sys.executable, "-c", _WORK, str(out)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "working\n"
    return worker


def _kill(worker: "subprocess.Popen[str]") -> None:
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()


def test_the_next_run_removes_what_killed_ones_left_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    dead, alive = _worker(out), _worker(out)
    _kill(dead)
    assert len(list(tmp_path.glob(".out.partial-*"))) == 2
    try:
        with staged_directory(out, force=True) as partial:
            (partial / "mask.png").write_bytes(b"whole")
        (left,) = tmp_path.glob(".out.partial-*")
        assert (left / "mask.png").read_bytes() == b"half"
    finally:
        _kill(alive)
    sweep(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "mask.png").read_bytes() == b"whole"


def test_what_was_set_aside_by_a_process_that_died_comes_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with staged_directory(out, force=False) as partial:
        (partial / "mask.png").write_bytes(b"old")
    out.rename(tmp_path / ".out.replaced-0a1b2c3d")
    sweep(out)
    assert (out / "mask.png").read_bytes() == b"old"


def test_a_users_file_in_what_was_set_aside_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    aside = tmp_path / ".out.replaced-0a1b2c3d"
    aside.mkdir()
    (aside / "thesis.tex").write_text("three years")
    sweep(tmp_path / "out")
    assert (aside / "thesis.tex").read_text() == "three years"


def test_names_that_are_only_like_it_are_left_alone(tmp_path: Path) -> None:
    for name in (".out.partial-tune", ".out2.partial-0a1b2c3d", "out.partial-0a1b2c3d", ".out.partial-0a1b2c3d4"):
        (tmp_path / name).mkdir()
    sweep(tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 4
