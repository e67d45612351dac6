"""What the shell offers at a TAB, beside the commands, options and files that click knows; torch is never imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

BREAKS = ":=@"  # where bash splits a word, of the characters that our words have

BASH = """\
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

ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local type value about
    local -a described
    for type value about in "${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) \\
            %(complete_var)s=zsh_complete $words[1])}"; do
        case $type in
            dir) _path_files -/ ;;
            file) _path_files ;;
            plain)
                if [[ $about != _ ]]; then described+=("$value:$about")
                elif [[ $value == *= ]]; then compadd -U -V unsorted -S '' -- $value
                else compadd -U -V unsorted -- $value
                fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
}
compdef %(complete_func)s %(prog_name)s
"""

FISH = """\
function %(complete_func)s
    set -l words COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t)
    for completion in (env $words %(complete_var)s=fish_complete %(prog_name)s)
        set -l found (string split --max 1 "," $completion)
        switch $found[1]
            case dir
                __fish_complete_directories $found[2]
            case file
                __fish_complete_path $found[2]
            case plain
                echo $found[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class Bash(BashComplete):
    """Bash splits `onnxruntime:cpu` into three words: they are put together here, and only the end is offered."""

    source_template = BASH

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


class Zsh(ZshComplete):
    """Zsh puts what is offered in place of the whole word; no space follows `name=`."""

    source_template = ZSH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return super().format_completion(_whole(item, self.get_completion_args()[1]))


class Fish(FishComplete):
    """Fish offers what begins like the whole word; words of ours have commas, where click's script ends them."""

    source_template = FISH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return super().format_completion(_whole(item, self.get_completion_args()[1]))


def _whole(item: CompletionItem[Any], typed: str) -> CompletionItem[Any]:
    """The word with its option in front, if `--option=` was typed."""
    option, equals, _ = typed.partition("=")
    if not equals or not typed.startswith("--") or item.type != "plain":
        return item
    return CompletionItem(f"{option}={item.value}", item.type, item.help)


def install() -> None:
    """Lets click answer the shells with our scripts and words."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)


def complete_recipes(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The shipped recipes, and files where none begins like this."""
    return _starting_with(recipe_names(), typed) or [CompletionItem(typed, type="file")]


def settings(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The fields of a recipe, with their equals sign."""
    return _starting_with([f"{name}=" for name in recipe_fields()], typed)


def targets(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The known targets, each after what stands before the last comma."""
    from hardedge.deploy.targets import KNOWN

    return _as_items(tuple(KNOWN), typed)


def precisions(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The precisions, each after what stands before the last comma."""
    from hardedge.precisions import DEPLOYED

    return _as_items(DEPLOYED, typed)


def recipe_names() -> list[str]:
    """The names of the shipped recipes, read from the text of their table."""
    for node in ast.walk(_source("hardedge.train.recipes")):
        if isinstance(node, ast.comprehension) and isinstance(node.iter, ast.Tuple):
            return [ast.unparse(function).rpartition(".")[2] for function in node.iter.elts]
    return []


def recipe_fields() -> list[str]:
    """The fields of a recipe, read from the text of its class."""
    return list(recipe_annotations())


def recipe_annotations() -> dict[str, str]:
    """The types of a recipe's fields, as they are written there."""
    for node in ast.walk(_source("hardedge.train.recipe")):
        if isinstance(node, ast.ClassDef) and node.name == "Recipe":
            lines = [line for line in node.body if isinstance(line, ast.AnnAssign)]
            return {ast.unparse(line.target): ast.unparse(line.annotation) for line in lines}
    return {}


def loss_names() -> list[str]:
    """The names of the losses, read from the text of their table."""
    for node in ast.walk(_source("hardedge.train.losses", "parse.py")):
        if (
            isinstance(node, ast.AnnAssign)
            and ast.unparse(node.target) == "LOSSES"
            and isinstance(node.value, ast.Dict)
        ):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    return []


def _source(module: str, file: str | None = None) -> ast.Module:
    """A module's text, or that of a file beside it: to look for a module in a package would import the package."""
    spec = find_spec(module)
    if not spec or not spec.origin:
        return ast.parse("")
    path = Path(spec.origin)
    return ast.parse((path.with_name(file) if file else path).read_text(encoding="utf-8"))


def _starting_with(words: Sequence[str], typed: str) -> list[CompletionItem[str]]:
    return [CompletionItem(word) for word in words if word.startswith(typed)]


def _as_items(words: Sequence[str], typed: str) -> list[CompletionItem[str]]:
    before, comma, _ = typed.rpartition(",")
    return _starting_with([f"{before}{comma}{word}" for word in words if word not in before.split(",")], typed)
