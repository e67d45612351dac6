"""Children: what they import, what comes back, and that they end with whoever started them."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hardedge import child_process
from hardedge.child_process import run_child, start_child

Program = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Writes a module where this process imports from; returns its name."""
    (tmp_path / "modules").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))

    def write(text: str) -> str:
        (tmp_path / "modules/a_child.py").write_text(text)
        return "a_child"

    return write


def test_what_it_printed_comes_back(module: Program) -> None:
    name = module("import sys\nprint(sys.argv[1:], __name__)\nsys.exit('no luck')")
    done = run_child(name, "one", "two words")
    assert (done.status, done.output, done.errors) == (1, "['one', 'two words'] __main__\n", "no luck\n")


def test_lines_are_seen_as_they_come_and_left_out_where_they_were_read(module: Program) -> None:
    seen: list[str] = []

    def read(line: str) -> bool:
        seen.append(line)
        return line.startswith("progress")

    done = run_child(module("print('progress 1'); print('result')"), read_line=read)
    assert (seen, done.output) == (["progress 1\n", "result\n"], "result\n")


def test_the_number_of_a_signal_comes_back(module: Program) -> None:
    done = run_child(module("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert done.status == -signal.SIGKILL


def test_a_child_whose_time_is_up_is_killed(module: Program) -> None:
    done = run_child(module("import time; print('so far', flush=True); time.sleep(600)"), seconds=3)
    assert (done.status, done.output, done.timed_out) == (-signal.SIGKILL, "so far\n", True)
    assert not run_child(module("print('whole')"), seconds=600).timed_out


@pytest.mark.parametrize("at", ["the directory of this process", "its own folder"])
def test_a_file_of_the_users_stands_for_no_library(
    at: str, module: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json", "numpy", "hardedge"):
        (here / f"{name}.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(here))
    name = module("import json, numpy, os; print(os.getcwd())")
    done = run_child(name, folder=None if at.startswith("the") else here)
    assert (done.output, done.errors) == (f"{here}\n", "")


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_it_starts_on_other_pythons(version: str, module: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    python = str(beside[-1]) if beside else shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"no Python {version} on this machine")
    library = sysconfig.get_path("stdlib")
    others = [path for path in sys.path if not path.startswith(library) or path.endswith("site-packages")]
    monkeypatch.setattr(child_process.sys, "path", others)  # without the library of this Python
    monkeypatch.setattr(child_process.sys, "executable", python)
    done = run_child(module("import sys; print(*sys.version_info[:2], sep='.')"))
    assert (done.output, done.errors) == (f"{version}\n", "")


def test_a_child_that_still_runs_is_killed_with_the_block(module: Program) -> None:
    began = time.monotonic()
    with start_child(module("import time; time.sleep(600)")):
        pass
    assert time.monotonic() - began < 60


def test_it_ends_with_a_parent_that_was_killed(module: Program, tmp_path: Path) -> None:
    name = module(f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    program = f"import sys; sys.path[:] = {sys.path}; from hardedge.child_process import run_child; run_child({name!r})"
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
            time.sleep(0.05)
        parent.kill()
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 60
    while time.monotonic() < until and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_environment_is_this_ones_and_what_is_given(module: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    name = module("import os; print(os.environ['OURS'], os.environ['THEIRS'], os.environ['HOME'])")
    assert run_child(name, environment={"THEIRS": "2"}).output == f"1 2 {os.environ['HOME']}\n"
