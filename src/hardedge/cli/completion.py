"""What the shell offers at a TAB, beside the commands, options and files that click knows; torch is never imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

BREAKS = ":=@"  # where bash splits a word, of the characters that our words have

SCRIPT = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    for completion in $(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete $1); do
        IFS=',' read type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain) COMPREPLY+=("$value"); [[ $value == *= ]] && compopt -o nospace ;;
        esac
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Bash splits `onnxruntime:cpu` into three words: they are put together here, and only the end is offered."""

    source_template = SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        incomplete = "" if not words or line[-1].isspace() else words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        _, typed = self.get_completion_args()
        if typed.startswith("--"):
            typed = typed.partition("=")[2]
        there = typed[: max(typed.rfind(mark) for mark in BREAKS) + 1]
        return f"{item.type},{str(item.value).removeprefix(there)}"


def install() -> None:
    """Lets click answer bash with our script and words."""
    add_completion_class(Bash)


def recipes(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The shipped recipes, and files where none begins like this."""
    return _beginning(recipe_names(), typed) or [CompletionItem(typed, type="file")]


def settings(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The fields of a recipe, with their equals sign."""
    return _beginning([f"{name}=" for name in recipe_fields()], typed)


def targets(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The known targets, each after what stands before the last comma."""
    from hardedge.deploy.targets import KNOWN

    return _listed(tuple(KNOWN), typed)


def precisions(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The precisions, each after what stands before the last comma."""
    from hardedge.deploy.precision import DEPLOYED

    return _listed(DEPLOYED, typed)


def recipe_names() -> list[str]:
    """The names of the shipped recipes, read from the text of their table."""
    for node in ast.walk(_source("hardedge.train.recipes")):
        if isinstance(node, ast.comprehension) and isinstance(node.iter, ast.Tuple):
            return [ast.unparse(function).rpartition(".")[2] for function in node.iter.elts]
    return []


def recipe_fields() -> list[str]:
    """The fields of a recipe, read from the text of its class."""
    for node in ast.walk(_source("hardedge.train.recipe")):
        if isinstance(node, ast.ClassDef) and node.name == "Recipe":
            return [ast.unparse(line.target) for line in node.body if isinstance(line, ast.AnnAssign)]
    return []


def _source(module: str) -> ast.Module:
    spec = find_spec(module)
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else "")


def _beginning(words: Sequence[str], typed: str) -> list[CompletionItem[str]]:
    return [CompletionItem(word) for word in words if word.startswith(typed)]


def _listed(words: Sequence[str], typed: str) -> list[CompletionItem[str]]:
    before, comma, _ = typed.rpartition(",")
    return _beginning([f"{before}{comma}{word}" for word in words if word not in before.split(",")], typed)
