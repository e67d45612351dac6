"""Writes docs/schema/*.json and the table of docs/recipes.md from the code: python docs/generate.py. Tests compare."""

import json
import re
from pathlib import Path

from hardedge.contracts import (
    Bundle,
    Certificate,
    Checkpoint,
    EdgeNetworkManifest,
    Engine,
    Report,
    Signature,
    json_schema,
)

HERE = Path(__file__).parent
RECIPES = HERE / "recipes.md"
CONTRACTS = (Checkpoint, EdgeNetworkManifest, Bundle, Certificate, Engine, Report, Signature)


def generated() -> dict[str, str]:
    """The text of each schema file, by file name."""
    return {f"{kind.__name__.lower()}.json": json.dumps(json_schema(kind), indent=1) + "\n" for kind in CONTRACTS}


def with_recipes(page: str) -> str:
    """The page with its table of the recipes, its only table, as the code has it."""
    from hardedge.train.recipes import RECIPES
    from hardedge.train.recipes.listing import markdown, recipe_table

    table = markdown(recipe_table(RECIPES.values()))
    return re.sub(r"(?:^\|.*\n)+", lambda _: f"{table}\n", page, count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    for name, text in generated().items():
        (HERE / "schema" / name).write_text(text)
    RECIPES.write_text(with_recipes(RECIPES.read_text()))
