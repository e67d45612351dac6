"""--help of each command: an example that the program understands, and defaults that are shown."""

import inspect
import re
import shlex

import click
import pytest

from hardedge.cli import cli

NAMES = sorted(cli.commands)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_understood(name: str) -> None:
    lines = re.findall(r"^Example: hardedge (.+)$", inspect.cleandoc(cli.commands[name].help or ""), re.MULTILINE)
    assert lines
    for line in lines:
        command, *arguments = shlex.split(line)
        assert command == name
        assert cli.commands[name].make_context(name, arguments).params


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does_and_its_default(name: str) -> None:
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            default = parameter.default if isinstance(parameter.default, str | int | float) else None
            assert parameter.show_default or not default, parameter.name
