"""Losses from text: `ce + 0.5*cpg(kernel=5)@0.8`."""

import ast
import dataclasses
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hardedge.errors import BadInput
from hardedge.train.losses.abl import Abl
from hardedge.train.losses.asl import Asl
from hardedge.train.losses.boundary_loss import Boundary, BoundaryOhem
from hardedge.train.losses.cpg import Cpg
from hardedge.train.losses.cross_entropy import CrossEntropy
from hardedge.train.losses.detail import Detail
from hardedge.train.losses.dfr import Dfr
from hardedge.train.losses.dice import Dice
from hardedge.train.losses.focal import Focal
from hardedge.train.losses.hardness import Hardness
from hardedge.train.losses.lmp import Lmp
from hardedge.train.losses.loss import Loss, LossSum, Term
from hardedge.train.losses.lovasz import Lovasz
from hardedge.train.losses.ohem import Ohem
from hardedge.train.losses.pat import Pat
from hardedge.train.losses.recall import Recall
from hardedge.train.losses.semeda import Semeda
from hardedge.train.losses.ssl import Ssl
from hardedge.train.losses.tversky import Tversky

LOSSES: dict[str, type[Loss]] = {
    "ce": CrossEntropy,
    "focal": Focal,
    "dice": Dice,
    "lovasz": Lovasz,
    "tversky": Tversky,
    "ohem": Ohem,
    "hardness": Hardness,
    "recall": Recall,
    "pat": Pat,
    "cpg": Cpg,
    "lmp": Lmp,
    "abl": Abl,
    "ssl": Ssl,
    "asl": Asl,
    "semeda": Semeda,
    "dfr": Dfr,
    "boundary": Boundary,
    "boundary_ohem": BoundaryOhem,
    "detail": Detail,
}
SYNTAX = "Write terms like ce + 0.5*cpg(kernel=5)."


def parse_loss(spec: str) -> LossSum:
    """The sum that a text like `ce + 0.5*cpg(kernel=5)` names; options are the fields of the loss.

    `@0.8` after a term lets it count from 80 % of the training on.

    Raises BadInput for anything it cannot read, with the nearest known name.
    """
    try:
        expression = ast.parse(spec.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise BadInput(f'loss "{spec}": not readable. {SYNTAX}') from None
    try:
        return LossSum(tuple(_scheduled_term(node) for node in _summands(expression)))
    except _Fault as fault:
        raise BadInput(f'loss "{spec}": {fault}') from None


class _Fault(Exception):
    """What is wrong with one term; parse_loss adds the whole text."""


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), node.right]
    return [node]


def _scheduled_term(node: ast.expr) -> Term:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.MatMult):
        return _weighted_term(node)
    start = _number(node.right)
    if start is None:
        raise _Fault(f"{ast.unparse(node)} is no term. {SYNTAX}")
    return replace(_weighted_term(node.left), start=start)


def _weighted_term(node: ast.expr) -> Term:
    if not isinstance(node, ast.BinOp):
        return Term(1.0, _term(node))
    weight = _number(node.left)
    if not isinstance(node.op, ast.Mult) or weight is None:
        raise _Fault(f"{ast.unparse(node)} is no term. {SYNTAX}")
    return Term(weight, _term(node.right))


def _number(node: ast.expr) -> float | None:
    value = _literal(node)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


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
    try:
        return keyword.arg, TypeAdapter(expected).validate_python(_literal(keyword.value), strict=True)
    except ValidationError:
        wanted = _type_text(expected)
    raise _Fault(f"{kind.name}'s {keyword.arg} must be {wanted}, got {ast.unparse(keyword.value)}.")


def _type_text(expected: Any) -> str:
    """The type in words: `int`, `true or false`, `dice or cosine`."""
    if get_origin(expected) is tuple:
        return "numbers in brackets"
    if get_args(expected):
        return " or ".join(_type_text(part) for part in get_args(expected))
    words = {bool: "true or false", str: "text"}
    return words.get(expected) or str(getattr(expected, "__name__", expected))


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
