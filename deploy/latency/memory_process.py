"""What an engine takes of memory, in a process of its own (`python -m hardedge.deploy.latency.memory_process`).

In the measuring process it would be too little: memory that an earlier engine gave back is used again.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

from hardedge.child_process import run_child
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.machine import gpu_memory, resident_memory

RUNS = 2  # the second finds everything in its place


def memory_of(engine: Path, shape: tuple[int, ...]) -> tuple[int | None, int | None]:
    """The bytes of host and GPU that an engine takes with its runtime, run on images of `shape` [B, H, W, 3].

    None where the system does not tell, or where the engine ended its process.
    """
    done = run_child("hardedge.deploy.latency.memory_process", str(engine), json.dumps(shape))
    if done.status != 0:
        return None, None
    host, gpu = json.loads(done.output.splitlines()[-1])
    return host, gpu


def main(engine: Path, shape: tuple[int, ...]) -> None:
    """Prints both numbers of memory_of."""
    host, gpu = resident_memory(), gpu_memory()
    images_BHWC = np.zeros(shape, np.uint8)
    with closing(open_runner(engine)) as runner:
        for _ in range(RUNS):
            runner.masks(images_BHWC)
        print(json.dumps([_grown(host, resident_memory()), _grown(gpu, gpu_memory())]))


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(after - before, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(json.loads(sys.argv[2])))
