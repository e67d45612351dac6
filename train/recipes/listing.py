"""What the shipped recipes are, from their values and the lines `Data:` to `Ours:` of their docstrings."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import getdoc

from hardedge.contracts import Contract
from hardedge.train.recipe import Recipe

NOTES = ("Data", "Schedule", "Published", "Ours")
OPTIMISERS = {"sgd": "SGD", "adamw": "AdamW"}


@dataclass(frozen=True, kw_only=True)
class RecipeFacts(Contract):
    """One recipe: what it is in a sentence, what it trains on which data, and mIoU as published and as measured here.

    `source` says where the `schedule_text` comes from.
    """

    name: str
    summary: str
    network: str
    loss: str
    data: str
    schedule: str
    source: str
    published: str
    ours: str


@dataclass(frozen=True, kw_only=True)
class RecipeTable(Contract):
    """The shipped recipes."""

    recipes: tuple[RecipeFacts, ...]


def recipe_table(functions: Iterable[Callable[[], Recipe]]) -> RecipeTable:
    """The facts of each recipe function, in order."""
    return RecipeTable(recipes=tuple(recipe_facts(function) for function in functions))


def recipe_facts(function: Callable[[], Recipe]) -> RecipeFacts:
    """One recipe's facts; its docstring has a line for each of NOTES."""
    recipe, text = function(), getdoc(function) or ""
    found = dict(re.findall(rf"^({'|'.join(NOTES)}): (.+)$", text, re.MULTILINE))
    return RecipeFacts(
        name=recipe.name,
        summary=text.splitlines()[0],
        network=recipe.network,
        loss=str(recipe.loss),
        data=found["Data"],
        schedule=schedule_text(recipe),
        source=found["Schedule"],
        published=found["Published"],
        ours=found["Ours"],
    )


def schedule_text(recipe: Recipe) -> str:
    """The optimiser and how long it goes over what, in words."""
    size = "x".join(map(str, recipe.crop))
    words = [f"{OPTIMISERS[recipe.optimiser]} {recipe.learning_rate:g}"]
    words += [f"to {recipe.final_rate:g}"] if recipe.final_rate else []
    words += ["constant"] if not recipe.poly_power else []
    parts = [" ".join(words), f"decay {recipe.weight_decay:g}"]
    parts += [f"{recipe.warm_up:,} steps of warm-up"] if recipe.warm_up else []
    return ", ".join([*parts, f"{recipe.steps:,} steps of {recipe.batch} at {size}"])


def recipe_table_text(table: RecipeTable) -> str:
    """A line for each recipe."""
    width = max(len(facts.name) for facts in table.recipes)
    return "\n".join(f"{facts.name:{width}}  {facts.data}: {facts.summary}" for facts in table.recipes)


def recipe_table_markdown(table: RecipeTable) -> str:
    """The table of docs/recipes.md."""
    head = ("recipe", "network, loss", "data", "schedule (from)", "published", "ours")
    rows = [
        (
            f"`{facts.name}`",
            f"`{facts.network}`, `{facts.loss}`",
            facts.data,
            f"{facts.schedule} ({facts.source})",
            facts.published,
            facts.ours,
        )
        for facts in table.recipes
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows))
