"""Completion as the shells do it: a terminal, a line, a TAB."""

import dataclasses
import os
import pty
import re
import select
import shutil
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


SHELLS = {
    "bash": (
        ["bash", "--noprofile", "--norc", "-i"],
        "bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'",
    ),
    "zsh": (["zsh", "-f", "-i"], "unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -d dump"),
}
ENVIRONMENT = {"PATH": f"{BIN}:{os.environ['PATH']}", "PS1": PROMPT, "TERM": "dumb", "COLUMNS": "200"}


class Terminal:
    """A shell without any start-up file, in a pseudo-terminal."""

    def __init__(self, shell: str, folder: Path) -> None:
        words, settings = SHELLS[shell]
        self.process, self.descriptor = pty.fork()
        if not self.process:
            os.chdir(folder)
            os.execvpe(words[0], words, ENVIRONMENT)
        self.unread = ""
        self.run(settings)
        self.run(f'eval "$(_HARDEDGE_COMPLETE={shell}_source hardedge)"')

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
        deadline = time.monotonic() + 300
        while end not in self.unread:
            assert time.monotonic() < deadline, f"no {end!r} in {self.unread!r}"
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.unread += re.sub(r"[\x07\r]", "", os.read(self.descriptor, 65536).decode())
                self.unread = re.sub(r".\x08", "", self.unread)  # zsh writes the space behind a word twice
        before, self.unread = self.unread.split(end, 1)
        return before + end

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.descriptor)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shell")
    (made / "my_recipe.py").touch()
    (made / "my_data").mkdir()
    return made


@pytest.fixture(scope="module", params=SHELLS)
def terminal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Terminal]:
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    opened = Terminal(request.param, folder)
    yield opened
    opened.close()


TYPED = [
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
]


@pytest.mark.parametrize(("typed", "becomes"), TYPED)
def test_a_tab_completes(typed: str, becomes: str, terminal: Terminal) -> None:
    assert terminal.completed(f"hardedge {typed}") == f"hardedge {becomes}#END"


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
@pytest.mark.parametrize(("typed", "becomes"), TYPED)
def test_fish_offers_the_word(typed: str, becomes: str, folder: Path) -> None:
    line = f"_HARDEDGE_COMPLETE=fish_source hardedge | source; complete -C 'hardedge {typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", line], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert [offer.split("\t")[0] for offer in done.stdout.splitlines()] == [becomes.split()[-1]]


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
