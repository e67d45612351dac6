"""Loads an engine again and again (`python -m hardedge.deploy.acceptance.loads_process ENGINE N`)."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

from hardedge.contracts import Engine, load
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.machine import gpu_memory, resident_memory


def main(engine: Path, loads: int) -> None:
    """Prints the bytes of host and of GPU memory after a tenth of the loads, and after all of them."""
    images_BHWC = np.zeros((*load(Engine, engine).profiles[0].opt, 3), np.uint8)
    seen: list[tuple[int | None, int | None]] = []
    for number in range(1, loads + 1):
        with closing(open_runner(engine)) as runner:
            runner.masks(images_BHWC)
        if number in (max(loads // 10, 1), loads):
            gc.collect()
            seen.append((resident_memory(), gpu_memory()))
    print(json.dumps(list(zip(seen[0], seen[-1], strict=True))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
