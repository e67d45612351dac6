"""The shared memory through which worker processes hand over batches: 64 MiB in a container by default."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from hardedge.errors import Unavailable
from hardedge.train.recipe import Recipe

FOLDER: Final = Path("/dev/shm")
PIXEL: Final = 3 * 4 + 8  # bytes: a float32 of each colour and an int64 label
AHEAD: Final = 2  # batches that each worker keeps ready


def require_shared_memory(recipe: Recipe) -> None:
    """Raises Unavailable where the batches that the recipe's workers keep ready do not fit: they would be killed."""
    height, width = recipe.crop
    needed = AHEAD * recipe.workers * recipe.batch * height * width * PIXEL
    if not needed or not FOLDER.is_dir():
        return
    free = shutil.disk_usage(FOLDER).free
    if free < needed:
        raise Unavailable(
            f"{FOLDER} has {free >> 20} MiB free, and the recipe's {recipe.workers} workers keep up to "
            f"{needed >> 20} MiB of batches there. In a container: docker run --shm-size {-(-needed >> 30)}g; "
            "or --set workers=0."
        )
