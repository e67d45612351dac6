"""The recipes by name."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from hardedge.contracts import Json
from hardedge.errors import BadInput
from hardedge.train.recipe import Recipe
from hardedge.train.recipes.camvid import camvid
from hardedge.train.recipes.streets import streets

RECIPES: dict[str, Callable[[], Recipe]] = {"streets": streets, "camvid": camvid}

__all__ = ["RECIPES", "camvid", "recipe_named", "streets"]


def recipe_named(name: str, settings: Mapping[str, str]) -> Recipe:
    """The recipe of that name with some of its fields set from text: `500`, `256,352`, `true`, `ce + 0.5*cpg`.

    Branches are written by kind, with the tap where it is not the network's own: `light`, `light@encoder.layer4`;
    nothing for none. Raises BadInput for an unknown name or field, with the nearest known one, and for a value of a
    wrong type.
    """
    if name not in RECIPES:
        raise BadInput(f"unknown recipe {name}.{_guess(name, list(RECIPES))} Known: {', '.join(RECIPES)}.")
    recipe = RECIPES[name]()
    names = [field.name for field in fields(recipe)]
    for field in settings:
        if field not in names:
            raise BadInput(f"a recipe has no field {field}.{_guess(field, names)} It has: {', '.join(names)}.")
    record = recipe.to_json()
    chosen = {field: _value(field, text, like=record[field]) for field, text in settings.items()}
    return Recipe.from_json(record | chosen, f"recipe {name}")


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


def _guess(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""
