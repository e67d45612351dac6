"""What can be refused from a command's words alone, before torch is imported for it."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hardedge.cli.completion import loss_names, recipe_annotations, recipe_fields, recipe_names
from hardedge.errors import BadInput, faults_error
from hardedge.synonyms import nearest_name_hint, unknown_field

if TYPE_CHECKING:
    from hardedge.contracts import Manifest

NUMBERS = {"int": "integer", "float": "number", "bool": "boolean"}


def require_recipe(name: str, settings: Sequence[tuple[str, str]]) -> None:
    """Raises BadInput for a recipe that is not there, and for --set fields, numbers and losses that cannot be meant."""
    _require_recipe_word(name)
    fields, annotations = recipe_fields(), recipe_annotations()
    faults: list[str] = []
    for given, text in settings:
        field = given.removeprefix("train.")
        fault = unknown_field(field, fields)
        if fault:
            raise BadInput(fault)
        faults += _value_faults(field, text, annotations[field])
    if faults:
        raise faults_error(f"{name} is not a recipe", faults, "Change these fields.")


def require_paths(
    *,
    data: Path | None = None,
    out: Path | None = None,
    force: bool = False,
    **artefacts: tuple[type[Manifest], Path] | None,
) -> None:
    """Raises BadInput for a data set or an artefact that is not there, and for an `out` that is.

    Raises Unavailable for an `out` that cannot be written.
    """
    if out is not None and not force:
        from hardedge.artefact import require_free

        require_free(out, force)
    for kind, directory in filter(None, artefacts.values()):
        if not (directory / kind.FILE).is_file():
            from hardedge.contracts import load

            load(kind, directory)
    if data is not None and not data.is_dir():
        from hardedge.data import open_dataset

        open_dataset(data)


def _require_recipe_word(name: str) -> None:
    path = Path(name)
    if name in recipe_names() or path.is_dir() or path.suffix == ".json":
        return
    file = Path(name.partition(":")[0])
    if file.suffix == ".py":
        if not file.is_file():
            there = [str(each) for each in file.parent.glob("*.py")]
            hint = nearest_name_hint(str(file), there)
            raise BadInput(f"{file}: no such file.{hint} Give the path of a Python file with a recipe.")
        return
    raise BadInput(
        f"unknown recipe {name}.{nearest_name_hint(name, recipe_names())} Give a name that `hardedge recipes` lists, "
        "FILE.py of your own, or the directory of a finished training."
    )


def _value_faults(field: str, text: str, annotation: str) -> list[str]:
    """What is wrong with a number or a choice; other types are read by the recipe itself."""
    if annotation in NUMBERS:
        wanted = {"int": (int,), "float": (int, float), "bool": (bool,)}[annotation]
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if not isinstance(value, wanted) or (annotation != "bool" and isinstance(value, bool)):
            return [f"{field}: Input should be a valid {NUMBERS[annotation]}, got {value!r}"]
    if annotation.startswith("Annotated[LossSum"):
        _require_terms(text)
    return []


def _require_terms(text: str) -> None:
    """Raises BadInput for a term that is no loss; what cannot be read is told where it is read."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return
    options = {id(keyword.value) for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    known = loss_names()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in options and node.id not in known:
            hint = nearest_name_hint(node.id, known)
            raise BadInput(f'loss "{text}": unknown term {node.id}.{hint} Known: {", ".join(known)}.')
