"""The hooks before a commit: valid, those of `make lint`, and run by pre-commit on what is committed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / ".pre-commit-config.yaml"
HOOKS = {hook["id"]: hook for repo in yaml.safe_load(CONFIG.read_text())["repos"] for hook in repo["hooks"]}


def pre_commit(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "pre-commit"), *words]
    environment = {**os.environ, "PRE_COMMIT_HOME": str(cwd / ".cache")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=850)


def test_the_hooks_are_what_make_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (lint,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", makefile, re.MULTILINE)
    (sources,) = re.findall(r"^SOURCES := (.+)$", makefile, re.MULTILINE)
    commands = [line.strip().removesuffix(" $(SOURCES)") for line in lint.splitlines()]
    assert [hook["entry"].replace(".venv/bin", "$(BIN)") for hook in HOOKS.values()] == commands
    folders = f"^({'|'.join(sources.split())})/"
    assert {hook["files"] for hook in HOOKS.values() if "files" in hook} == {folders}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with our hooks, our settings and our environment's programs."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    shutil.copy(CONFIG, tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_the_settings_are_valid(repository: Path) -> None:
    done = pre_commit("validate-config", cwd=repository)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("hook", "content", "said"),
    [
        ("format", "x = 'single'\n", "1 file would be reformatted"),
        ("lint", "import os\n", "`os` imported but unused"),
        ("format", 'x = "double"\n', "Passed"),
        ("lint", 'x = "double"\n', "Passed"),
    ],
)
def test_a_hook_judges_what_is_committed(hook: str, content: str, said: str, repository: Path) -> None:
    (repository / "tests/test_it.py").write_text(content)
    subprocess.run(["git", "-C", str(repository), "add", "tests/test_it.py"], check=True)
    done = pre_commit("run", hook, cwd=repository)
    assert said in done.stdout, done.stdout + done.stderr
    assert done.returncode == (0 if said == "Passed" else 1)
