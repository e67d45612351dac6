"""Which class is taken for which in each test image: the confusion counts off their diagonal, as sparse triplets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.metrics import Counts


@dataclass(frozen=True)
class Confusions:
    """K confusions of N images: those of image i are at `starts_N1[i]` to `starts_N1[i + 1]`.

    `pairs_K2` are the label and the predicted class, uint8, never equal; `pixels_K` their pixels, int64, above 0.
    """

    starts_N1: npt.NDArray[np.int64]
    pairs_K2: npt.NDArray[np.uint8]
    pixels_K: npt.NDArray[np.int64]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What is stored of them, by name."""
        return {"starts": self.starts_N1, "pairs": self.pairs_K2, "pixels": self.pixels_K}

    def images(self) -> npt.NDArray[np.int64]:
        """The image of each confusion."""
        return np.repeat(np.arange(len(self.starts_N1) - 1), np.diff(self.starts_N1))

    def total(self, classes: int) -> Counts:
        """The pixels of each pair over all images, int64 [C, C]; 0 on the diagonal."""
        total_CC = np.zeros((classes, classes), np.int64)
        np.add.at(total_CC, tuple(self.pairs_K2.T), self.pixels_K)
        return total_CC


def sparse_confusions(counts_NCC: Counts) -> Confusions:
    """The confusions of images' counts, int64 [N, C, C]: rows are labels, columns predictions."""
    pairs, pixels, starts = [np.zeros((0, 2), np.uint8)], [np.zeros(0, np.int64)], [0]
    for counts_CC in counts_NCC:
        label_K, predicted_K = np.nonzero(counts_CC)
        wrong_K = label_K != predicted_K
        label_K, predicted_K = label_K[wrong_K], predicted_K[wrong_K]
        pairs.append(np.stack((label_K, predicted_K), axis=-1).astype(np.uint8))
        pixels.append(counts_CC[label_K, predicted_K])
        starts.append(starts[-1] + len(label_K))
    return Confusions(np.array(starts, np.int64), np.concatenate(pairs), np.concatenate(pixels))


def confusion_fault(found: Confusions, parts_NC3: Counts) -> str | None:
    """Why these are not the confusions of images with such pixels hit, labelled and predicted; None where they are."""
    images, classes, _ = parts_NC3.shape
    starts, pairs, pixels = found.starts_N1, found.pairs_K2, found.pixels_K
    if starts.shape != (images + 1,) or pairs.shape != (len(pixels), 2) or pixels.ndim != 1:
        return "confusions of other images"
    if starts[0] != 0 or starts[-1] != len(pixels) or (np.diff(starts) < 0).any():
        return "confusions out of order"
    if (pairs >= classes).any() or (pairs[:, 0] == pairs[:, 1]).any() or (pixels <= 0).any():
        return "a confusion that is none"
    wrong_NC2 = np.zeros((images, classes, 2), np.int64)
    for side in (0, 1):
        np.add.at(wrong_NC2[..., side], (found.images(), pairs[:, side]), pixels)
    if not np.array_equal(wrong_NC2, parts_NC3[..., 1:] - parts_NC3[..., :1]):
        return "confusions that do not add up to the pixels labelled and predicted"
    return None
