"""Tversky loss, from segmentation-models-pytorch."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.overlap import mean_of_present, probabilities_and_labels


@dataclass(frozen=True)
class Tversky(Loss):
    """Tversky loss (arXiv 1706.05721): the mean over the present classes of 1 - I / (I + alpha FP + beta FN).

    I, FP and FN are sums of probabilities over the batch's labelled pixels; `smooth` is added to both sides of the
    ratio. alpha = beta = 0.5 is Dice; the paper's 0.3 and 0.7 make a missed pixel dearer than a false one. Absent
    classes do not count: the library divides by all classes, so that a crop with few of them weighs little.
    Sums are this process's: the library takes them inside.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "tversky"

    alpha: float = 0.3
    beta: float = 0.7
    smooth: float = 0.0
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not (self.alpha >= 0 and self.beta >= 0 and self.alpha + self.beta > 0):
            raise BadInput(f'loss "{self}": alpha and beta must not be negative, and not both 0.')
        if not self.smooth >= 0:
            raise BadInput(f'loss "{self}": smooth must not be negative.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        from segmentation_models_pytorch.losses import TverskyLoss

        options = {"smooth": self.smooth, "alpha": self.alpha, "beta": self.beta}
        library = TverskyLoss("multilabel", from_logits=False, **options)
        probabilities_BCHW, labels_BCHW = probabilities_and_labels(logits_BCHW, target_BHW, self.ignore_index)
        return mean_of_present(library(probabilities_BCHW, labels_BCHW), labels_BCHW)
