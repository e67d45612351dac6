"""Images that are nearly the same: the same picture at another size or quality, or the next frame of a still camera.

A perceptual hash of 128 bits (is a pixel brighter than its right, and than its lower neighbour, in 9x9 greys) finds
candidates; the mean difference of 16x16 greys decides. What was cropped, mirrored or turned is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hardedge.console import progress_bar

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BITS = 16  # of 128 that may differ
MOST_DIFFERENCE = 6.0  # mean of 0-255
BLOCK = 512  # rows that are compared at a time
SMALL = 16

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Fingerprint:
    """What near duplicates are recognised by: 128 bits, packed, and 16x16 greys."""

    bits: Bits
    greys: npt.NDArray[np.int16]


def fingerprint(image: Image) -> Fingerprint:
    """Of an image of any size and mode."""
    grey = image if image.mode == "L" else image.convert("RGB").convert("L")
    fine = np.asarray(grey.resize((9, 9), resample=4)).astype(np.int16)  # BOX
    right, below = fine[:8, 1:] > fine[:8, :-1], fine[1:, :8] > fine[:-1, :8]
    bits = np.packbits(np.concatenate([right.ravel(), below.ravel()]))
    return Fingerprint(bits, np.asarray(grey.resize((SMALL, SMALL), resample=4)).astype(np.int16).ravel())


def near_duplicates(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """The places of every two images that are nearly the same, the earlier first; time grows with their square."""
    if len(prints) < 2:
        return
    words = np.stack([each.bits for each in prints]).view(np.uint16)
    greys = np.stack([each.greys for each in prints])
    counts = _bit_counts()
    for start in progress_bar(range(0, len(prints), BLOCK), "near duplicates"):
        block = words[start : start + BLOCK]
        differing = np.zeros((len(block), len(prints) - start), np.uint16)
        for column in range(words.shape[1]):
            differing += counts[block[:, None, column] ^ words[None, start:, column]]
        for row, other in zip(*np.nonzero(differing <= MOST_BITS), strict=True):
            first, second = start + int(row), start + int(other)
            if first < second and np.abs(greys[first] - greys[second]).mean() <= MOST_DIFFERENCE:
                yield first, second


def _bit_counts() -> npt.NDArray[np.uint16]:
    """How many bits are set in each number of 16 bits."""
    every = np.arange(1 << 16, dtype=np.uint32)
    return np.asarray(sum((every >> bit) & 1 for bit in range(16)), np.uint16)
