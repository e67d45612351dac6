"""Writes docs/schema/*.json, cli.md, glossary.md and the table of recipes.md from the code: python docs/generate.py.

Tests compare.
"""

import json
import re
from pathlib import Path

import click

from hardedge.contracts import (
    Acceptance,
    Bundle,
    Certificate,
    Checkpoint,
    Comparison,
    Dossier,
    EdgeNetworkManifest,
    Engine,
    Imports,
    Report,
    ServedModel,
    Signature,
    json_schema,
)
from hardedge.pages.glossary import glossary_markdown

HERE = Path(__file__).parent
RECIPES = HERE / "recipes.md"
CONTRACTS = (
    *(Checkpoint, EdgeNetworkManifest, Bundle, Certificate, Engine, Report, Comparison, Dossier, ServedModel),
    *(Signature, Imports),
    Acceptance,
)


def generated() -> dict[str, str]:
    """The text of each schema file, by file name."""
    return {f"{kind.__name__.lower()}.json": json.dumps(json_schema(kind), indent=1) + "\n" for kind in CONTRACTS}


def with_recipes(page: str) -> str:
    """The page with its table of the recipes, its only table, as the code has it."""
    from hardedge.train.recipes import RECIPES
    from hardedge.train.recipes.listing import recipe_table, recipe_table_markdown

    table = recipe_table_markdown(recipe_table(RECIPES.values()))
    return re.sub(r"(?:^\|.*\n)+", lambda _: f"{table}\n", page, count=1, flags=re.MULTILINE)


def command_line() -> str:
    """The page with the help of every command."""
    from hardedge.cli import cli

    head = "# Command line\n\nMade by `python docs/generate.py` from the commands themselves.\n"
    texts = [head, _help(cli, "hardedge")]
    texts += [_help(command, f"hardedge {name}") for name, command in sorted(cli.commands.items())]
    return "\n".join(texts)


def _help(command: click.Command, name: str) -> str:
    # as the program has it: click keeps the first help option that it makes of a command
    names = ["-h", "--help"]
    context = click.Context(command, info_name=name, help_option_names=names, max_content_width=100, terminal_width=100)
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    for name, text in generated().items():
        (HERE / "schema" / name).write_text(text)
    RECIPES.write_text(with_recipes(RECIPES.read_text()))
    (HERE / "cli.md").write_text(command_line())
    (HERE / "glossary.md").write_text(glossary_markdown())
