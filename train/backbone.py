"""The weights that a training starts its backbone from."""

from pathlib import Path

from hardedge.models.pretrained import BackboneWeights, pretrained_weights, weights_from_file
from hardedge.train.recipe import Recipe


def starting_weights(recipe: Recipe, file: Path | None) -> BackboneWeights | None:
    """Those of the file, else ImageNet's where the recipe is `pretrained`, else none.

    Raises BadInput for a file without a state_dict and a network without pretrained weights, MissingHere where these
    cannot be downloaded.
    """
    if file is not None:
        return weights_from_file(file)
    return pretrained_weights(recipe.network) if recipe.pretrained else None
