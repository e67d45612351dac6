"""The recipes by name, and what else the word RECIPE may be."""

from collections.abc import Callable, Mapping
from pathlib import Path

from hardedge.errors import BadInput
from hardedge.synonyms import nearest_name_hint
from hardedge.train.recipe import Recipe
from hardedge.train.recipes import cityscapes, cityscapes_small, nyuv2, purposes, realtime, synthia
from hardedge.train.recipes.camvid import camvid
from hardedge.train.recipes.settings import with_settings
from hardedge.train.recipes.stored import stored_recipe
from hardedge.train.recipes.streets import (
    streets,
    streets_abl,
    streets_ce,
    streets_cpg,
    streets_hardness,
    streets_lmp,
    streets_pat,
    streets_recall,
)
from hardedge.train.recipes.user_recipe import is_user_recipe, load_user_recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    function.__name__: function
    for function in (
        purposes.quick,
        purposes.accurate,
        purposes.realtime,
        streets,
        streets_ce,
        streets_hardness,
        streets_recall,
        streets_pat,
        streets_cpg,
        streets_lmp,
        streets_abl,
        camvid,
        realtime.pidnet_s_camvid,
        realtime.stdc1_camvid,
        realtime.ppliteseg_t_camvid,
        realtime.ddrnet23_slim_camvid,
        realtime.fast_scnn_camvid,
        realtime.efficientvit_b0_camvid,
        cityscapes.pspnet_cityscapes,
        cityscapes.pspnet_cityscapes_hardness,
        cityscapes.deeplabv3_cityscapes,
        cityscapes.deeplabv3_cityscapes_hardness,
        cityscapes.deeplabv3_cityscapes_lmp,
        cityscapes.deeplabv3_cityscapes_cpg,
        cityscapes.ocr_cityscapes,
        cityscapes.ocr_cityscapes_hardness,
        cityscapes.ocr_cityscapes_cpg,
        cityscapes.ocr_cityscapes_abl,
        cityscapes_small.lraspp_cityscapes,
        cityscapes_small.lraspp_cityscapes_hardness,
        cityscapes_small.lraspp_cityscapes_cpg,
        cityscapes_small.bisenetv2_cityscapes,
        cityscapes_small.bisenetv2_cityscapes_hardness,
        realtime.pidnet_s_cityscapes,
        realtime.ddrnet23_slim_cityscapes,
        realtime.stdc1_cityscapes,
        realtime.ppliteseg_t_cityscapes,
        realtime.fast_scnn_cityscapes,
        synthia.deeplabv3plus_synthia,
        synthia.deeplabv3plus_synthia_recall,
        nyuv2.deeplabv3plus_nyuv2,
        nyuv2.deeplabv3plus_nyuv2_pat,
    )
}

__all__ = ["RECIPES", "camvid", "find_recipe", "streets"]


def find_recipe(word: str, settings: Mapping[str, str]) -> Recipe:
    """The recipe that the word names, with some of its fields set from text, as `with_settings` reads them.

    The word is a shipped recipe's name; `FILE.py` or `FILE.py:function` of the user's own; or the directory or
    checkpoint.json of a training that was done, whose network must be named anew where it is code. Raises BadInput for
    any other word, with the nearest shipped name, and
    for a file or setting that cannot be used.
    """
    recipe = _find(word)
    if not _is_user_named(word, settings) and ":" in recipe.network:
        raise BadInput(
            f"recipe {word}: its network {recipe.network} is code of whoever wrote it, and building it runs that code. "
            f"Read the code, then add --set network={recipe.network}."
        )
    return with_settings(recipe, settings, f"recipe {word}")


def _is_user_named(word: str, settings: Mapping[str, str]) -> bool:
    """Whether the network is ours, or named by whoever runs this: not out of a checkpoint."""
    named = any(field.rpartition(".")[2] == "network" for field in settings)
    return named or word in RECIPES or is_user_recipe(word)


def _find(word: str) -> Recipe:
    if word in RECIPES:
        return RECIPES[word]()
    if is_user_recipe(word):
        return load_user_recipe(word)
    path = Path(word)
    if path.is_dir() or path.suffix == ".json":
        return stored_recipe(path)
    raise BadInput(
        f"unknown recipe {word}.{nearest_name_hint(word, list(RECIPES))} Give a name that `hardedge recipes` lists, "
        "FILE.py of your own, or the directory of a finished training."
    )
