"""The encoders of segmentation-models-pytorch: its own, and timm's as `tu-NAME`; five levels of maps."""

from difflib import get_close_matches
from functools import cache

import timm
import torch
from segmentation_models_pytorch.encoders import encoders, get_encoder
from torch import Tensor, nn

from hardedge.errors import BadInput

TIMM = "tu-"
DEPTH = 5
# its `timm-` names are deprecated aliases of `tu-`
OWN = tuple(name for name in encoders if not name.startswith("timm-"))


def require_encoder(name: str, network: str) -> None:
    """Raises BadInput with the nearest known encoder unless there is one of that name."""
    if name in OWN or (name.startswith(TIMM) and timm.is_model(name.removeprefix(TIMM))):
        return
    known = [*OWN, *(TIMM + model for model in timm.list_models())]
    near = get_close_matches(name, known, n=1)
    guess = f" Did you mean {network.removesuffix(name)}{near[0]}?" if near else ""
    raise BadInput(
        f'unknown network "{network}": no encoder {name}.{guess} Known encoders: {", ".join(OWN)}, and timm\'s as '
        f"{TIMM}NAME."
    )


def make_encoder(name: str, output_stride: int) -> nn.Module:
    """The encoder with random weights; from images it gives a list of maps, the images first.

    Raises BadInput when it cannot be built with that stride of its deepest map.
    """
    try:
        made: nn.Module = get_encoder(name, in_channels=3, depth=DEPTH, weights=None, output_stride=output_stride)
    except Exception as error:  # each family of encoders has its own way of refusing
        raise BadInput(
            f"encoder {name} cannot be built with an output stride of {output_stride}: {error}\n"
            "Take another encoder, or upernet_, fpn_ or segformer_ on this one: they do not dilate it."
        ) from error
    return made


@cache
def encoder_channels(name: str) -> tuple[int, ...]:
    """Channels of the encoder's maps, the image's 3 first; 0 where it has no map at a stride."""
    if name in encoders:
        return tuple(encoders[name]["params"]["out_channels"])
    with torch.device("meta"):
        return tuple(get_encoder(name, in_channels=3, depth=DEPTH, weights=None).out_channels)


def multiple_of(name: str) -> int:
    """Of what the image's size must be a multiple: the library's own encoders take any, many of timm's do not."""
    return 32 if name.startswith(TIMM) else 1


def has_pretrained(name: str) -> bool:
    """Whether the library knows ImageNet weights of the encoder."""
    if name.startswith(TIMM):
        return bool(timm.is_model_pretrained(name.removeprefix(TIMM)))
    return "imagenet" in encoders[name]["pretrained_settings"]


def pretrained_weights(name: str) -> dict[str, Tensor]:
    """The encoder's ImageNet weights, downloaded; raises whatever the libraries raise where they cannot."""
    source = True if name.startswith(TIMM) else "imagenet"
    weights: dict[str, Tensor] = get_encoder(name, in_channels=3, depth=DEPTH, weights=source).state_dict()
    return weights
