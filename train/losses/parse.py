"""Losses from text: `ce + 0.5*cpg(kernel=5)`."""

import ast
import dataclasses
from difflib import get_close_matches
from typing import Literal, get_args, get_origin, get_type_hints

from hardedge.errors import BadInput
from hardedge.train.losses.cpg import Cpg
from hardedge.train.losses.cross_entropy import CrossEntropy
from hardedge.train.losses.hardness import Hardness
from hardedge.train.losses.loss import Loss, LossSum
from hardedge.train.losses.recall import Recall

LOSSES: dict[str, type[Loss]] = {
    "ce": CrossEntropy,
    "hardness": Hardness,
    "recall": Recall,
    "cpg": Cpg,
}
SYNTAX = "Write terms like ce + 0.5*cpg(kernel=5)."


def parse_loss(spec: str) -> LossSum:
    """The sum that a text like `ce + 0.5*cpg(kernel=5)` names; options are the fields of the loss.

    Raises BadInput for anything it cannot read, with the nearest known name.
    """
    try:
        expression = ast.parse(spec.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise BadInput(f'loss "{spec}": not readable. {SYNTAX}') from None
    try:
        terms = [_weighted_term(node) for node in _summands(expression)]
        return LossSum(tuple(terms))
    except _Fault as fault:
        raise BadInput(f'loss "{spec}": {fault}') from None


class _Fault(Exception):
    """What is wrong with one term; parse_loss adds the whole text."""


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), node.right]
    return [node]


def _weighted_term(node: ast.expr) -> tuple[float, Loss]:
    if not isinstance(node, ast.BinOp):
        return 1.0, _term(node)
    weight = _literal(node.left)
    if not isinstance(node.op, ast.Mult) or isinstance(weight, bool) or not isinstance(weight, int | float):
        raise _Fault(f"{ast.unparse(node)} is no term. {SYNTAX}")
    return float(weight), _term(node.right)


def _term(node: ast.expr) -> Loss:
    called, keywords = (node.func, node.keywords) if isinstance(node, ast.Call) else (node, [])
    if not isinstance(called, ast.Name) or (isinstance(node, ast.Call) and node.args):
        raise _Fault(f"{ast.unparse(node)} is no term. {SYNTAX}")
    if called.id not in LOSSES:
        raise _Fault(f"unknown term {called.id}.{_guess(called.id, list(LOSSES))} Known: {', '.join(LOSSES)}.")
    kind = LOSSES[called.id]
    options = [_option(kind, keyword) for keyword in keywords]
    if len(dict(options)) < len(options):
        raise _Fault(f"{ast.unparse(node)} gives an option twice. Leave one.")
    return kind(**dict(options))


def _option(kind: type[Loss], keyword: ast.keyword) -> tuple[str, object]:
    names = [field.name for field in dataclasses.fields(kind)]
    if keyword.arg not in names:
        unknown = keyword.arg or "**"
        raise _Fault(f"{kind.name} has no option {unknown}.{_guess(unknown, names)} It has: {', '.join(names)}.")
    expected = get_type_hints(kind)[keyword.arg]
    value = _literal(keyword.value)
    if expected is float and type(value) is int:
        value = float(value)
    choices = get_args(expected) if get_origin(expected) is Literal else None
    if value not in choices if choices else type(value) is not expected:
        wanted = " or ".join(choices) if choices else {bool: "true or false"}.get(expected, expected.__name__)
        raise _Fault(f"{kind.name}'s {keyword.arg} must be {wanted}, got {ast.unparse(keyword.value)}.")
    return keyword.arg, value


def _literal(node: ast.expr) -> object:
    """A number, true or false, or a word; quotes are optional."""
    if isinstance(node, ast.Name):
        return {"true": True, "false": False}.get(node.id, node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _guess(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""
