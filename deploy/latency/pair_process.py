"""One session pair of the latency test in a process of its own: `python -m hardedge.deploy.latency.pair_process`.

A process has a speed by chance (where its memory lies): pairs that share one share it, and their interval does not
show it.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hardedge.child_process import run_child
from hardedge.data.decoding import Pixels
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.paired_runs import Open, PairPlan, TimedPair, time_pair
from hardedge.deploy.runner import Runner
from hardedge.errors import Unavailable


class EnginesInTurn:
    """Opens engine directories one after another, here or in another process."""

    def __init__(self, engines: Sequence[Path]) -> None:
        self._turns = itertools.cycle(engines)

    def __call__(self) -> Runner:
        return open_runner(self.next_engine())

    def next_engine(self) -> Path:
        """The directory whose turn it is."""
        return next(self._turns)


def time_pair_apart(open_base: Open, open_other: Open, images_BHWC: Pixels, plan: PairPlan) -> TimedPair:
    """Like time_pair, in a new process, whose start is not part of its time; raises Unavailable when it fails.

    Both openers must be EnginesInTurn.
    """
    assert isinstance(open_base, EnginesInTurn)
    assert isinstance(open_other, EnginesInTurn)
    engines = [str(opener.next_engine()) for opener in (open_base, open_other)]
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        np.save(images := Path(folder) / "images.npy", images_BHWC)
        job = {
            "engines": engines,
            "images": str(images),
            "base_first": plan.base_first,
            "seed": plan.seed,
            "seconds": plan.seconds,
        }
        done = run_child("hardedge.deploy.latency.pair_process", json.dumps(job))
    if done.status != 0:
        said = done.errors.strip().splitlines()
        raise Unavailable(f"a process of the latency test ended with {done.status}: {said[-1] if said else ''}")
    blocks, seconds = json.loads(done.output.splitlines()[-1])
    return TimedPair(np.array(blocks), seconds)


def main(job: str) -> None:
    """Prints the seconds of the blocks, and those of the pair, as JSON."""
    given = json.loads(job)
    images_BHWC = np.load(given["images"], allow_pickle=False)
    base, other = (partial(open_runner, Path(engine)) for engine in given["engines"])
    base().close()  # the runtime's own libraries are loaded before the clock runs
    found = time_pair(base, other, images_BHWC, PairPlan(given["base_first"], given["seconds"], tuple(given["seed"])))
    print(json.dumps([found.times.tolist(), found.seconds]))


if __name__ == "__main__":
    main(sys.argv[1])
