"""Documents are up to date: generated files, the README's commands and its code."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from hardedge.cli import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^    hardedge (.+?)(?:\s+#.*)?$", README, re.MULTILINE)))


def test_the_schemas_are_those_of_the_contracts() -> None:
    generated = runpy.run_path(str(ROOT / "docs/generate.py"))["generated"]()
    written = {path.name: path.read_text() for path in (ROOT / "docs/schema").glob("*.json")}
    assert written == generated, "run: python docs/generate.py"


@pytest.mark.parametrize("line", COMMANDS)
def test_the_readmes_commands_are_understood(line: str) -> None:
    name, *arguments = shlex.split(line)
    # parsed as the program would, not run: unknown commands, options and values raise
    cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^    make ([\w-]+)", README, re.MULTILINE))))
def test_the_readmes_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readmes_settings_are_fields_of_a_recipe() -> None:
    from hardedge.train.recipes import recipe_named

    settings = re.findall(r"--set (?:'([^']+)'|(\S+='[^']*')|([^\s`]+))", README)
    assert len(settings) >= 5
    for setting in settings:
        field, _, value = "".join(setting).replace("'", "").rstrip("`").partition("=")
        recipe_named("camvid", {field: value})


def test_the_readmes_code_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # the README's own code, as a reader would run it
