"""What a training starts from: random weights, a backbone's, or those of a training that is finished."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from hardedge.contracts import Checkpoint, Task, load
from hardedge.errors import BadInput
from hardedge.models.pretrained import BackboneWeights, pretrained_weights, weights_from_file
from hardedge.train.branches import Training
from hardedge.train.recipe import Recipe


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a training starts with, at most one of two; `digests` say which, by name."""

    backbone: BackboneWeights | None = None
    checkpoint: Path | None = None
    digest: str = ""

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of what is read, by the name that a checkpoint's `inputs` give it."""
        if self.backbone is not None:
            return {"backbone_weights": self.backbone.digest}
        return {"start_from": self.digest} if self.checkpoint is not None else {}


def load_initial_weights(
    recipe: Recipe, task: Task, *, backbone_weights: Path | None, start_from: Path | None
) -> InitialWeights:
    """The file's weights, or the checkpoint's, or ImageNet's where the recipe is `pretrained`, or none.

    Raises BadInput when several are given, for a file without a state_dict, a checkpoint that is not sound or has
    another network or other classes, and a network without pretrained weights; Unavailable where these cannot be
    downloaded.
    """
    if start_from is not None and (backbone_weights is not None or recipe.pretrained):
        raise BadInput("--start-from has all weights: leave out --pretrained and --backbone-weights.")
    if recipe.qat and start_from is None:
        raise BadInput("--qat fine-tunes: give the trained checkpoint as --start-from, and a low learning_rate.")
    if start_from is not None:
        return InitialWeights(checkpoint=start_from, digest=_require_fitting(start_from, recipe, task).digest)
    if backbone_weights is not None:
        return InitialWeights(backbone=weights_from_file(backbone_weights))
    return InitialWeights(backbone=pretrained_weights(recipe.network)) if recipe.pretrained else InitialWeights()


def _require_fitting(checkpoint: Path, recipe: Recipe, task: Task) -> Checkpoint:
    source = load(Checkpoint, checkpoint)
    if source.network.name != recipe.network:
        raise BadInput(
            f"{checkpoint} is of {source.network.name}, and the recipe trains {recipe.network}. "
            f"Set network={source.network.name}, or give another --start-from."
        )
    if source.task != task:
        raise BadInput(f"{checkpoint} knows other classes than the data. Give a checkpoint of the same classes.")
    return source


def load_trained(training: Training, checkpoint: Path) -> str:
    """Loads the network, and the branches where they are the same; says in words what was loaded."""
    training.model.load_state_dict(load_file(checkpoint / "weights.safetensors"))
    branches = load_file(checkpoint / "training_only.safetensors")
    same = {name: value.shape for name, value in branches.items()} == {
        name: value.shape for name, value in training.branches.state_dict().items()
    }
    if same:
        training.branches.load_state_dict(branches)
    fresh = "" if same else "; its branches are others, and start fresh"
    return f"the network starts from {checkpoint}{fresh}"
