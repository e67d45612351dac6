"""Fields of a recipe from text, as the command line gives them."""

import json
from collections.abc import Mapping
from dataclasses import fields

from hardedge.contracts import Json
from hardedge.errors import BadInput
from hardedge.synonyms import unknown_field
from hardedge.train.recipe import Recipe

PREFIX = "train."


def with_settings(recipe: Recipe, settings: Mapping[str, str], name: str) -> Recipe:
    """The recipe with some of its fields set from text: `500`, `256,352`, `true`, `ce + 0.5*cpg`.

    Branches are written by kind, with the tap where it is not the network's own: `light`, `light@encoder.layer4`;
    nothing for none. `train.steps` is `steps`: the stage may stand before a field. Raises BadInput under `name` for an
    unknown field, with the nearest known one, and for a value of a wrong type.
    """
    record = recipe.to_json()
    names = [field.name for field in fields(recipe)]
    chosen: dict[str, Json] = {}
    for given, text in settings.items():
        field = given.removeprefix(PREFIX)
        fault = unknown_field(field, names)
        if fault:
            raise BadInput(fault)
        chosen[field] = _value(field, text, like=record[field])
    return Recipe.from_json(record | chosen, name)


def _value(field: str, text: str, *, like: Json) -> Json:
    """The text as JSON; a list may go without its brackets, and what is a string now stays one."""
    if isinstance(like, str):
        return text
    if field == "branches":
        return [_branch(word) for word in text.split(",") if word]
    if isinstance(like, list) and not text.startswith("["):
        text = f"[{text}]"
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def _branch(text: str) -> Json:
    kind, _, tap = text.strip().partition("@")
    return {"kind": kind, "tap": tap or None}
