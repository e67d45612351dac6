"""Parity by hardness: the labelled pixels in tenths, by the map that training stored."""

import numpy as np
import numpy.typing as npt

from hardedge.contracts import HardnessDecile
from hardedge.data.decoding import Pixels

LEVELS = 256  # of an 8-bit map
TENTHS = 10


def hardness_counts(
    hardness_HW: Pixels, mask_HW: Pixels, reference_HW: Pixels, label_HW: Pixels, ignore_index: int
) -> npt.NDArray[np.int64]:
    """Labelled pixels by stored hardness, int64 [4, 256]: all, masks equal, reference right, target right."""
    labelled_HW = label_HW != ignore_index
    counted = (labelled_HW, mask_HW == reference_HW, reference_HW == label_HW, mask_HW == label_HW)
    return np.stack([np.bincount(hardness_HW[labelled_HW & each_HW], minlength=LEVELS) for each_HW in counted])


def split_into_deciles(counts_4V: npt.NDArray[np.int64]) -> tuple[HardnessDecile, ...]:
    """The counts in ten parts of as equal size as whole levels allow, the easiest first; empty parts are left out.

    A level goes whole to the tenth that holds its middle pixel.
    """
    pixels_V = counts_4V[0]
    total = int(pixels_V.sum())
    if total == 0:
        return ()
    middle_V = np.cumsum(pixels_V) - pixels_V / 2
    tenth_V = np.minimum((TENTHS * middle_V / total).astype(int), TENTHS - 1)
    parts = [np.flatnonzero((tenth_V == tenth) & (pixels_V > 0)) for tenth in range(TENTHS)]
    return tuple(_decile(levels, counts_4V[:, levels].sum(1)) for levels in parts if len(levels))


def _decile(levels: npt.NDArray[np.intp], counts_4: npt.NDArray[np.int64]) -> HardnessDecile:
    pixels, equal, reference, target = (int(count) for count in counts_4)
    return HardnessDecile(
        low=int(levels[0]),
        high=int(levels[-1]),
        pixels=pixels,
        agreement=equal / pixels,
        accuracy_reference=reference / pixels,
        accuracy=target / pixels,
    )
