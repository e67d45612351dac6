"""Which test images are compared where all of them would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# as many images as take a CPU's two cores a minute or so
MOST_IMAGES: Final = 64
LEAST_IMAGES: Final = 8
MULTIPLY_ADDS: Final = 3e12


def compared_ids(ids: Sequence[str], multiply_adds: int) -> tuple[str, ...]:
    """Ids, evenly spaced: as many as a network of so many multiply-adds an image allows, 8 to 64."""
    allowed = int(MULTIPLY_ADDS / max(multiply_adds, 1))
    count = min(len(ids), max(LEAST_IMAGES, min(MOST_IMAGES, allowed)))
    return tuple(ids[place * len(ids) // count] for place in range(count))
