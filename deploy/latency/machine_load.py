"""How busy other processes keep the machine while something is timed: before, during and after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hardedge.contracts import BenchRun, MachineLoad

WINDOW: Final = 0.25  # seconds that are looked at before and after
MOST_BUSY: Final = 0.25  # of the cores: what others may take of a machine whose timings are judged
_STAT: Final = Path("/proc/stat")


@dataclass(frozen=True)
class _Reading:
    """Seconds: the clock's, those that all cores were busy, and those that this process and its children took."""

    clock: float
    busy: float
    own: float
    cores: int


@dataclass
class LoadWatch:
    """What was seen; `load` once it has ended, None where the system does not tell (no /proc/stat)."""

    load: MachineLoad | None = None


@contextmanager
def watch_load(window: float = WINDOW) -> Iterator[LoadWatch]:
    """Watches the cores that other processes keep busy; waits `window` seconds before the block and after it."""
    watch = LoadWatch()
    first = _read()
    time.sleep(window)
    began = _read()
    yield watch
    ended = _read()
    time.sleep(window)
    last = _read()
    if first and began and ended and last:
        watch.load = MachineLoad(
            cores=began.cores,
            before=_others(first, began),
            during=_others(began, ended),
            after=_others(ended, last),
        )


def busy_reason(load: MachineLoad | None) -> str | None:
    """Why timings under this load are not judged; None where they are, or where the load is not known."""
    seen = busy_words(load)
    return f"not judged: {seen}; measure again on a quiet machine" if seen else None


def busy_words(load: MachineLoad | None) -> str | None:
    """What other processes took, where that is more than timings bear; None where it is not, or is not known."""
    if load is None or max(load.before, load.during, load.after) <= MOST_BUSY * load.cores:
        return None
    most = MOST_BUSY * load.cores
    return (
        f"other processes kept {load.before:.1f} of {load.cores} cores busy before it, {load.during:.1f} "
        f"during it and {load.after:.1f} after it, more than {most:g}"
    )


def busy_lines(runs: Sequence[BenchRun]) -> list[str]:
    """A warning for each engine that was timed while others kept the machine busy."""
    busy = [(run, busy_words(run.load)) for run in runs]
    return [f"{run.target} {run.precision}: its times may be too long: {words}" for run, words in busy if words]


def _others(first: _Reading, last: _Reading) -> float:
    seconds = max(last.clock - first.clock, 1e-3)
    return max((last.busy - first.busy) - (last.own - first.own), 0.0) / seconds


def _read() -> _Reading | None:
    """The counters now. Steal counts as busy: another virtual machine takes it from this one."""
    try:
        lines = [line.split() for line in _STAT.read_text().splitlines() if line.startswith("cpu")]
        user, nice, system, _, _, *interrupts = (int(ticks) for ticks in lines[0][1:9])
        busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return _Reading(time.monotonic(), busy, sum(os.times()[:4]), len(lines) - 1)
