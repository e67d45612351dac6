"""Completion as bash does it: a terminal, a line, a TAB."""

import dataclasses
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardedge.cli.completion import recipe_fields, recipe_names

BIN = Path(sys.executable).parent
PROMPT = "ready> "


class Terminal:
    """A bash without any start-up file, in a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self.process, self.descriptor = pty.fork()
        if not self.process:
            os.chdir(folder)
            environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "PS1": PROMPT, "TERM": "dumb", "COLUMNS": "200"}
            os.execve("/bin/bash", ["bash", "--noprofile", "--norc", "-i"], environment)
        self.unread = ""
        self.run("bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'")

    def run(self, line: str) -> None:
        """Runs a line, and reads all that is shown until then."""
        self.type(f"{line}; echo $((40 + 2))done\n")
        self.read_until("42done")
        self.read_until(PROMPT)

    def completed(self, line: str) -> str:
        """What is shown after a line and a TAB, up to what is typed behind them."""
        self.type(f"{line}\t#END")
        shown = self.read_until("#END")
        self.type("\x15")  # nothing of it is run
        self.run(":")
        return shown

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def read_until(self, end: str) -> str:
        """What the terminal shows from what was read last to `end`."""
        deadline = time.monotonic() + 60
        while end not in self.unread:
            assert time.monotonic() < deadline, f"no {end!r} in {self.unread!r}"
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.unread += re.sub(r"[\x07\r]", "", os.read(self.descriptor, 65536).decode())
        before, self.unread = self.unread.split(end, 1)
        return before + end

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.descriptor)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("shell")
    (folder / "my_recipe.py").touch()
    (folder / "my_data").mkdir()
    opened = Terminal(folder)
    opened.run('eval "$(_HARDEDGE_COMPLETE=bash_source hardedge)"')
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("dep", "deploy "),
        ("deploy b --prec", "deploy b --precision "),
        ("train streets_rec", "train streets_recall "),
        ("train my_re", "train my_recipe.py "),
        ("train camvid --set warm", "train camvid --set warm_up="),
        ("train camvid --set network=my_recipe:f --set step", "train camvid --set network=my_recipe:f --set steps="),
        ("hard d --split v", "hard d --split val "),
        ("check my_d", "check my_data/"),
        ("deploy b --target onnxruntime:te", "deploy b --target onnxruntime:tensorrt "),
        ("deploy b --target=tensorrt-rtx:sm7", "deploy b --target=tensorrt-rtx:sm75 "),
        (
            "deploy b --target onnxruntime:cpu,tensorrt-rtx:sm121",
            "deploy b --target onnxruntime:cpu,tensorrt-rtx:sm121 ",
        ),
        ("export c --precision fp16,i", "export c --precision fp16,int8 "),
    ],
)
def test_a_tab_completes(typed: str, becomes: str, terminal: Terminal) -> None:
    assert terminal.completed(f"hardedge {typed}") == f"hardedge {becomes}#END"


def test_several_are_listed(terminal: Terminal) -> None:
    shown = terminal.completed("hardedge train streets_").split()
    assert {"streets_ce", "streets_hardness", "streets_cpg"} <= set(shown)
    assert "camvid" not in shown


def test_the_names_are_those_of_the_code() -> None:
    from hardedge.train.recipe import Recipe
    from hardedge.train.recipes import RECIPES

    assert recipe_names() == list(RECIPES)
    assert recipe_fields() == [field.name for field in dataclasses.fields(Recipe)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, hardedge: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = hardedge(env={**os.environ, "_HARDEDGE_COMPLETE": f"{shell}_source"})
    assert done.returncode == 0
    assert f"{shell}_complete" in done.stdout
