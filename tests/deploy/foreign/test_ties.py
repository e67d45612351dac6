"""An untrained network's scores are nearly tied: its pixels are no sign of a graph that does not fit."""

import numpy as np

from hardedge.deploy.foreign.as_given import Result
from hardedge.deploy.foreign.bundle import _nearly_tied


def test_ties_are_pixels_whose_two_best_scores_are_within_a_thousandth() -> None:
    scores_CHW = np.array([[[10.0, 5.0, 1.0]], [[9.995, 5.02, -9.0]], [[-3.0, 0.0, 0.0]]], np.float32)
    mask_HW = scores_CHW.argmax(0).astype(np.uint8)
    assert _nearly_tied(Result(mask_HW, scores_CHW, resized=False)).tolist() == [[True, False, False]]
    assert not _nearly_tied(Result(mask_HW, None, resized=False)).any()
