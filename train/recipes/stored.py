"""The recipe of a training that was done, to run it again."""

from pathlib import Path

from hardedge.console import note
from hardedge.contracts import Checkpoint, read_json
from hardedge.errors import BadInput
from hardedge.train.recipe import Recipe

# what a training read that is no field of its recipe, and the option that gives it
OPTIONS = {
    "hardness_maps": "--hardness-maps",
    "backbone_weights": "--backbone-weights",
    "start_from": "--start-from",
}


def stored_recipe(path: Path) -> Recipe:
    """The whole recipe that a checkpoint was trained with, from its directory or its checkpoint.json.

    Where the training was given a budget, `steps` are those that fitted. Files other than that one are not read, and
    need not be there. Raises BadInput when it is missing or no manifest of a checkpoint.
    """
    manifest = path / Checkpoint.FILE if path.is_dir() else path
    if not manifest.is_file():
        where = f"{path} has no {Checkpoint.FILE}" if path.is_dir() else f"{path}: no such file"
        raise BadInput(f"{where}: no recipe to run again. Give the directory of a finished training.")
    checkpoint = read_json(Checkpoint, manifest)
    for name in OPTIONS.keys() & checkpoint.inputs.keys():
        note(f"{manifest}: that training also had {OPTIONS[name]}, which is no part of its recipe")
    return Recipe.from_json(checkpoint.recipe, f"{manifest}, recipe")
