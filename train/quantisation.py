"""Quantisation-aware training: the network computes in 8 bits while it learns, and its weights stay what they are."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import torch
from torch import Tensor, nn

from hardedge.errors import missing_extra

QUANTISER = "_quantizer."


def quantise(model: nn.Module, images: Iterable[Tensor]) -> None:
    """Puts NVIDIA Model Optimizer's fake quantisers before every convolution and matrix product of the network.

    Symmetric int8: weights by output channel, activations by tensor, with the ranges that these have on `images`
    (batches [B, 3, H, W], normalised); gradients pass straight through. What ships is the plain weights: export
    quantises them as it does after any training. Raises Unavailable without Model Optimizer.
    """
    with _quiet():
        try:
            import modelopt.torch.quantization as mtq
        except ImportError:
            raise missing_extra("Model Optimizer (nvidia-modelopt)", "export") from None

    def calibrate(network: nn.Module) -> None:
        for image_BCHW in images:
            network(image_BCHW)

    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # running statistics must not move
    with torch.no_grad(), _quiet():
        mtq.quantize(model, mtq.INT8_DEFAULT_CFG, calibrate)
    for module, mode in modes:
        module.training = mode


@contextmanager
def _quiet() -> Iterator[None]:
    """Model Optimizer warns of plug-ins that are not there, and counts its quantisers on stdout."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of the network as it was built: without the quantisers' ranges, if it has any."""
    return {name: value for name, value in model.state_dict().items() if QUANTISER not in name}
