"""Weights for a network's backbone, from a file or from its library's server."""

import hashlib
import pickle
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hardedge.errors import BadInput, Unavailable, faults_error
from hardedge.models.architectures import architecture
from hardedge.models.efficientnet_names import timm_names

SHOWN = 8
# what training programs call the network's state_dict in a file with more than that
STATES = ("state_dict", "model_state_dict", "model")
# counts batches; files of old libraries are without it
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class BackboneWeights:
    """Tensors by name as their source has them, and in words where that is."""

    source: str
    tensors: Mapping[str, Tensor]

    @property
    def digest(self) -> str:
        """The sha256 of names, types, shapes and values."""
        tensors = {name: tensor.contiguous().clone() for name, tensor in sorted(self.tensors.items())}
        return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()


def weights_from_file(path: Path) -> BackboneWeights:
    """A state_dict as safetensors or torch.save wrote it; of a training's file with one in it, that one.

    Raises BadInput when the file has none. Code in a pickle is not run.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise BadInput(
            f"weights {path}: {found}. Give a file with a state_dict, as safetensors or torch.save write it."
        )
    try:
        content = safetensors.torch.load_file(path)
    except SafetensorError:
        content = _torch_file(path)
    tensors = _tensors(content)
    if not tensors:
        raise BadInput(f"weights {path}: no state_dict in it. Write one with: torch.save(net.state_dict(), PATH)")
    return BackboneWeights(str(path), tensors)


def _torch_file(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        # without torch's own words: they advise to load whatever code is in it
        raise BadInput(
            f"weights {path}: neither safetensors nor a torch file of tensors alone ({type(error).__name__}). "
            "Write its state_dict with: torch.save(net.state_dict(), PATH)"
        ) from None


def _tensors(content: Any) -> dict[str, Tensor]:
    """The tensors by name, from the content itself or from the one part of it that is a state_dict."""
    if not isinstance(content, Mapping):
        return {}
    own = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if own:
        return own
    parts = {key: found for key, value in content.items() if "optim" not in str(key) and (found := _tensors(value))}
    named = [parts[key] for key in STATES if key in parts]
    return (named or list(parts.values()))[0] if named or len(parts) == 1 else {}


def pretrained_weights(name: str) -> BackboneWeights:
    """The ImageNet weights of a network's backbone, downloaded by its library, or from where it keeps them.

    Raises BadInput for a network whose library has none, Unavailable when they cannot be had.
    """
    known = architecture(name)
    if known is None or known.pretrained is None:
        raise BadInput(
            f"{name}: no library has pretrained weights for it. Set pretrained=false, or give --backbone-weights FILE."
        )
    try:
        with redirect_stdout(sys.stderr):  # torch says there what it downloads
            return BackboneWeights(f"the pretrained backbone of {name}", known.pretrained())
    except Exception as error:  # each library and its HTTP client has errors of its own
        first = next(iter(str(error).splitlines()), "")
        raise Unavailable(
            f"{name}: its pretrained weights cannot be had here ({type(error).__name__}: {first}). "
            "Connect this machine, or fetch them elsewhere and give --backbone-weights FILE."
        ) from error


def load_backbone(network: nn.Module, name: str, weights: BackboneWeights) -> str:
    """Loads every tensor of the backbone, and says in words what matched and what was left over.

    The source's names may have a prefix more than the backbone's (`module.`, `features.`), dots where timm's feature
    extraction has underscores, and for an EfficientNet those of lukemelas' library. Raises BadInput with all tensors
    that are missing or of another shape, and for a user's own network.
    """
    known = architecture(name)
    if known is None:
        raise BadInput(f"which part of {name} is its backbone is not known. Load the weights in your own function.")
    place = known.tap if known.backbone is None else known.backbone
    backbone = network.get_submodule(place)
    whole = backbone.state_dict()
    expected = {key: tensor for key, tensor in whole.items() if not key.startswith(known.fresh)}
    names = _match_names(list(expected), list(weights.tensors))
    faults = [f"{key}: missing" for key in expected if key not in names and not key.endswith(COUNTER)]
    faults += [
        f"{key}: {tuple(weights.tensors[found].shape)}, expected {tuple(expected[key].shape)}"
        for key, found in names.items()
        if weights.tensors[found].shape != expected[key].shape
    ]
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise faults_error(
            f"{weights.source} does not fit the {place or 'backbone'} of {name}",
            faults[:SHOWN] + more,
            "Give the weights of that backbone, under its library's names.",
        )
    backbone.load_state_dict(whole | {key: weights.tensors[found] for key, found in names.items()})
    return _mismatch_text(weights, len(names), [key for key in weights.tensors if key not in names.values()])


def _match_names(expected: list[str], given: list[str]) -> dict[str, str]:
    """The given name for each expected one, under the prefix that matches most of them."""
    source = timm_names(given, expected)
    tops = {key.split(".")[0] for key in expected}
    inner = f"{tops.pop()}." if len(tops) == 1 else ""
    bare = {key: _flat(key.removeprefix(inner)) for key in expected}
    flat = {_flat(key): name for key, name in source.items()}
    first = bare[expected[0]]
    prefixes = dict.fromkeys(("", *(key.removesuffix(first) for key in flat if key.endswith(first))))
    best = max(prefixes, key=lambda prefix: sum(prefix + key in flat for key in bare.values()))
    return {key: flat[best + name] for key, name in bare.items() if best + name in flat}


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _mismatch_text(weights: BackboneWeights, loaded: int, left: list[str]) -> str:
    more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
    rest = f"; not used: {', '.join(left[:SHOWN])}{more}" if left else ""
    return f"{loaded} tensors of the backbone from {weights.source}{rest}"
