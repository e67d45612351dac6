"""The network of a checkpoint, with its trained weights."""

from pathlib import Path

import safetensors.torch
from torch import nn

from hardedge.contracts import Checkpoint
from hardedge.errors import faults_error
from hardedge.export.graph.pixels_to_mask import AtNetworkSize, PixelsToMask
from hardedge.models import build_network
from hardedge.models.user_network import require_code_allowed

SHOWN = 8


def network_from_checkpoint(directory: Path, checkpoint: Checkpoint, *, allow_code: bool = False) -> nn.Module:
    """The plain network in evaluation mode.

    Raises BadInput when the weights are not exactly its own, and for a network of a user's own unless `allow_code`.
    """
    require_code_allowed(checkpoint.network, directory, allowed=allow_code)
    network = build_network(checkpoint.network)
    path = directory / "weights.safetensors"
    weights = safetensors.torch.load_file(path)
    expected = network.state_dict()
    faults = [f"{key}: missing" for key in expected if key not in weights]
    faults += [f"{key}: the network has no such weight" for key in weights if key not in expected]
    faults += [
        f"{key}: {tuple(weights[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in weights and weights[key].shape != expected[key].shape
    ]
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise faults_error(
            f"{path} does not fit {checkpoint.network.name}",
            faults[:SHOWN] + more,
            "Use the network that was trained, as it was then, or train it again.",
        )
    network.load_state_dict(weights)
    return network.eval()


def load_pixels_to_mask(
    directory: Path, checkpoint: Checkpoint, network_size: tuple[int, int] | None = None, *, allow_code: bool = False
) -> PixelsToMask:
    """The checkpoint's network with its pre- and post-processing, at a size of its own if any, in eval mode."""
    network = network_from_checkpoint(directory, checkpoint, allow_code=allow_code)
    sized = AtNetworkSize(network, network_size) if network_size else network
    return PixelsToMask(sized, checkpoint.normalisation).eval()
