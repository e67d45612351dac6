"""Cross-entropy."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import (
    class_or_last,
    cross_entropy_map,
    mean_over_labelled,
    processes,
    sum_with_gradients,
)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy, the mean over the labelled pixels of the batch; of all processes' batches with `sync`.

    With `class_weights`, a positive number for each class, it is the weighted mean: divided by the sum of the weights,
    as torch has it. Raises BadInput for logits of another number of classes.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "ce"

    class_weights: tuple[float, ...] = ()
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not all(0 < weight < math.inf for weight in self.class_weights):
            raise BadInput(f'loss "{self}": class_weights must be above 0 and finite. Give one for each class.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        if not self.class_weights:
            return mean_over_labelled(loss_BHW, target_BHW, self.ignore_index, self.sync)
        weights_BHW = self._weights(target_BHW, logits_BCHW.shape[1], loss_BHW)
        total = sum_with_gradients(weights_BHW.sum(), self.sync)
        # a batch may have no labels; its weights sum to 0
        return (weights_BHW * loss_BHW).sum() * processes(self.sync) / total.where(total > 0, 1)

    def _weights(self, target_BHW: Tensor, num_classes: int, like: Tensor) -> Tensor:
        if len(self.class_weights) != num_classes:
            raise BadInput(
                f'loss "{self}": {len(self.class_weights)} class_weights, but {num_classes} classes. '
                "Give one for each class, in their order."
            )
        return like.new_tensor((*self.class_weights, 0.0))[class_or_last(target_BHW, num_classes, self.ignore_index)]
