"""SEMEDA: prediction and labels are compared in the features of a network that has learned semantic edges."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, one_hot, processes, sum_with_gradients

EdgeFeatures = Callable[[Tensor], list[Tensor]]
BAND = 64  # rows of one image whose features are alive at a time


@dataclass(frozen=True)
class Semeda(Loss):
    """Semantic edge-aware loss (arXiv 1905.01892): the mean of |phi_k(softmax) - phi_k(one-hot)|^2 over layers k.

    `edge_network` maps [B, C, H, W] in 0..1 to a list of feature maps, the k-th by k convolutions of 3x3. It is frozen,
    and was trained on masks by `hardedge edges`; `network` is the directory which that wrote. Layers `first` to `last`
    (from 1) count equally, each as the mean over its channels and the labelled pixels: our choice, but for the layers,
    which are those of a port (all but the first and the last of eight). Ignored pixels are 0 in both maps. A term
    beside cross-entropy; its weight there is not known to us (0.1 kept up on the street scenes, 1 did not).
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "edge_network")
    name: ClassVar[str] = "semeda"

    network: str = ""
    first: int = 2
    last: int = 7
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last:
            raise BadInput(f'loss "{self}": layers count from 1, and first is at most last.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, edge_network: EdgeFeatures) -> Tensor:
        valid_BHW = target_BHW != self.ignore_index
        probabilities_BCHW = at_target_size(logits_BCHW, target_BHW).softmax(1).where(valid_BHW.unsqueeze(1), 0)
        compared = _Compared(edge_network, self.first, self.last, self.ignore_index)
        if torch.compiler.is_compiling():
            distance = compared(probabilities_BCHW, target_BHW)
        else:
            distance = _BandByBand.apply(probabilities_BCHW, target_BHW, compared)
        labelled = sum_with_gradients(valid_BHW.sum(), self.sync)
        return distance * processes(self.sync) / labelled.clamp_min(1)


@dataclass(frozen=True)
class _Compared:
    """The squared distance between the features of maps and labels, summed over labelled pixels."""

    edge_network: EdgeFeatures
    first: int
    last: int
    ignore_index: int

    def __call__(self, maps_BCHW: Tensor, target_BHW: Tensor, rows: slice = slice(None)) -> Tensor:
        """The mean over layers and channels; of pixels in these rows alone, though all are seen."""
        with torch.no_grad():
            labels_BCHW = one_hot(target_BHW, self.ignore_index, like_BCHW=maps_BCHW)
            true = self._features(labels_BCHW)
        found = self._features(maps_BCHW)
        valid_B1HW = (target_BHW != self.ignore_index).unsqueeze(1)[:, :, rows]
        distances = [
            _squared_distance(a[:, :, rows], b[:, :, rows], valid_B1HW) for a, b in zip(found, true, strict=True)
        ]
        return torch.stack(distances).mean()

    def _features(self, maps_BCHW: Tensor) -> list[Tensor]:
        with torch.autocast(maps_BCHW.device.type, enabled=False):
            features = self.edge_network(maps_BCHW)
        if len(features) < self.last:
            raise BadInput(f"semeda's last layer is {self.last}, but the edge network has {len(features)}.")
        return features[self.first - 1 : self.last]


def _squared_distance(found_BDHW: Tensor, true_BDHW: Tensor, valid_B1HW: Tensor) -> Tensor:
    squares_BDHW = F.mse_loss(found_BDHW, true_BDHW, reduction="none")
    return squares_BDHW.where(valid_B1HW, 0).sum() / found_BDHW.shape[1]


class _BandByBand(torch.autograd.Function):
    """The distance with its gradient, some rows of one image at a time.

    The features of a batch are many times the logits. A feature of layer k sees k rows to each side, so that a band
    with `last` more rows on both sides gives what the whole image gives.
    """

    @staticmethod
    def forward(ctx: Any, maps_BCHW: Tensor, target_BHW: Tensor, compared: _Compared) -> Tensor:
        total = maps_BCHW.new_zeros(())
        grad_BCHW = torch.zeros_like(maps_BCHW) if ctx.needs_input_grad[0] else None
        for image, seen, rows in _bands(target_BHW, compared.last):
            band_BCHW = maps_BCHW[image, :, seen].detach().requires_grad_(grad_BCHW is not None)
            with torch.set_grad_enabled(grad_BCHW is not None):
                distance = compared(band_BCHW, target_BHW[image, seen], rows)
            total += distance.detach()
            if grad_BCHW is not None:
                grad_BCHW[image, :, seen] += torch.autograd.grad(distance, band_BCHW)[0]
        if grad_BCHW is not None:
            ctx.save_for_backward(grad_BCHW)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (grad_BCHW,) = ctx.saved_tensors
        return grad * grad_BCHW, None, None


def _bands(target_BHW: Tensor, reach: int) -> Iterator[tuple[slice, slice, slice]]:
    """The image, the rows that are seen, and which of these count."""
    images, height = target_BHW.shape[:2]
    for image in range(images):
        for top in range(0, height, BAND):
            start, end = max(top - reach, 0), min(top + BAND + reach, height)
            yield slice(image, image + 1), slice(start, end), slice(top - start, min(top + BAND, height) - start)
