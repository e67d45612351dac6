"""Dice loss, from segmentation-models-pytorch."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.overlap import mean_of_present, probabilities_and_labels


@dataclass(frozen=True)
class Dice(Loss):
    """Soft Dice over the batch: the mean over the present classes of 1 - (2 I + s) / (P + N + s), s = 2 smooth.

    I is the class's probability summed over its own pixels, P over all labelled pixels, N the number of its pixels.
    Absent classes do not count: the library divides by all classes, so that a crop with few of them weighs little.
    Sums are this process's: the library takes them inside.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "dice"

    smooth: float = 0.0
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not self.smooth >= 0:
            raise BadInput(f'loss "{self}": smooth must not be negative.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        from segmentation_models_pytorch.losses import DiceLoss

        library = DiceLoss("multilabel", from_logits=False, smooth=self.smooth)
        probabilities_BCHW, labels_BCHW = probabilities_and_labels(logits_BCHW, target_BHW, self.ignore_index)
        return mean_of_present(library(probabilities_BCHW, labels_BCHW), labels_BCHW)
