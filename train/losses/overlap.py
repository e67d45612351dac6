"""What Dice and Tversky hand to segmentation-models-pytorch, and how its mean over classes is mended."""

from torch import Tensor

from hardedge.train.losses.pixels import at_target_size, one_hot


def probabilities_and_labels(logits_BCHW: Tensor, target_BHW: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Softmax and one-hot labels, both 0 at ignored pixels.

    Given to the library as "multilabel" maps: from an index map it makes int64 one-hot maps, of twice this size.
    """
    every_BCHW = at_target_size(logits_BCHW, target_BHW).softmax(1)
    probabilities_BCHW = every_BCHW.where((target_BHW != ignore_index).unsqueeze(1), 0)
    return probabilities_BCHW, one_hot(target_BHW, ignore_index, like_BCHW=every_BCHW)


def mean_of_present(mean: Tensor, labels_BCHW: Tensor) -> Tensor:
    """The mean over the present classes, from a mean over all classes to which absent ones gave 0."""
    present = labels_BCHW.amax((0, 2, 3)).sum()
    return mean * labels_BCHW.shape[1] / present.clamp_min(1)
