"""What a person sees in a terminal while something runs, and what a pipe gets instead: nothing."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hardedge import console
from hardedge.cli import interrupted_hint

BIN = Path(sys.executable).parent
# goes on when it is told, by a line, that what it shows was seen
PROGRAM = """
import sys
from hardedge.console import note, progress_bar, spinner
for done in progress_bar(range(4), "counting"):
    if done:
        sys.stdin.readline()
with spinner("timing", 2):
    sys.stdin.readline()
with spinner("building") as tell:
    tell("building for sm86: 50%")
    sys.stdin.readline()
note("one line")
"""
SHOWN = (
    *(r"counting ━+.* +25%", r"counting ━+.* +50% \d:\d\d:\d\d", r"counting ━+.* +75%"),
    *(r"timing 0:00:\d\d of 0:00:02", "building for sm86: 50%"),
)


def in_a_terminal(command: list[str], awaited: Sequence[str] = ()) -> str:
    """What the command shows where stdout and stderr are a terminal of 100 columns, without its control sequences.

    When it shows the next of what is `awaited`, it gets an empty line.
    """
    process, descriptor = pty.fork()
    if not process:
        os.execve(command[0], command, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    shown, left = b"", list(awaited)
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux's way to tell that the other side is closed
            break
        if not part:
            break
        shown += part
        if left and re.search(left[0], plain(shown)):
            del left[0]
            os.write(descriptor, b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, shown.decode()
    assert not left, plain(shown)
    return plain(shown)


def plain(shown: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="ignore"))


def test_a_terminal_shows_how_far_it_is_and_the_time_left() -> None:
    assert "one line" in in_a_terminal([sys.executable, "-c", PROGRAM], SHOWN)


def test_a_pipe_gets_the_notes_alone() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "one line\n")


def test_a_pipe_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "FIRST_LINE", 0.0)
    monkeypatch.setattr(console, "LINE_EVERY", 0.01)
    said = ""
    for _ in console.progress_bar(iter(range(3)), "counting", 3):
        while "counting: 1 of 3, 0:00:0" not in (said := said + capsys.readouterr().err) and _ == 1:
            time.sleep(0.01)
    with console.spinner("timing") as tell:
        tell("timing sm86")
        said = ""
        while "timing sm86, 0:00:0" not in said:
            time.sleep(0.01)
            said += capsys.readouterr().err


def test_a_command_in_a_terminal_and_in_a_pipe(tiny_dataset: Path) -> None:
    command = [str(BIN / "hardedge"), "check", str(tiny_dataset)]
    assert "checking images and masks" in in_a_terminal(command)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tiny: 4 train, 2 val, 3 test\n")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_a_training_in_a_terminal(tiny_dataset: Path, tmp_path: Path) -> None:
    """A bar with steps, loss and time left instead of the lines that a pipe gets."""
    settings = ["steps=8", "batch=4", "crop=64,96", "scale=1,1", "evaluate_every=4"]
    command = [str(BIN / "hardedge"), "train", "camvid", "--data", str(tiny_dataset), "--out", str(tmp_path / "out")]
    shown = in_a_terminal([*command, *(word for setting in settings for word in ("--set", setting))])
    assert "loading torch" in shown
    assert re.search(r"training ━+.* \d/8 loss [\d.]+ .*\d:\d\d:\d\d", shown)
    assert "hardness maps" in shown
    assert "step 4/8" not in shown


def test_ctrl_c_leaves_one_clean_line(tmp_path: Path) -> None:
    command = [str(BIN / "hardedge"), "scenes", "--out", str(tmp_path / "streets")]
    process, descriptor = pty.fork()
    if not process:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells let what runs in the background ignore it
        os.execve(command[0], command, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    shown, sent = b"", False
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            break
        shown += part
        if not sent and b"drawing street scenes" in shown:
            os.write(descriptor, b"\x03")
            sent = True
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    assert b"^C" not in shown
    assert re.split(r"[\r\n]+", plain(shown).strip())[-1] == "Interrupted."
    assert not (tmp_path / "streets").exists()


def test_what_is_kept_after_ctrl_c_is_said_only_where_it_is(tmp_path: Path) -> None:
    command = ["hardedge", "train", "camvid", "--data", "data", "--out", str(tmp_path / "a")]
    assert interrupted_hint(command) == ""
    (tmp_path / "a.next").mkdir()
    assert interrupted_hint(command) == " What was finished is kept: go on with --resume."
    assert interrupted_hint(["hardedge", "verify", "bundle"]) == ""
