"""What the benchmarks share: arms that take turns, ratios with intervals, peak memory, and what a number holds for."""

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

MIN_BLOCKS = 5


@dataclass(frozen=True)
class Timing:
    """One arm: its median in milliseconds, and the ratio to the baseline with a 95 % bootstrap interval over blocks."""

    ms: float
    ratio: float
    low: float
    high: float
    blocks: int


def timings(
    arms: Mapping[str, Callable[[], object]], baseline: str, seconds: float, device: torch.device
) -> dict[str, Timing]:
    """Times the arms in turns, there and back within a block (ABCCBA); each block starts with another arm.

    A ratio is the median over blocks of the arm's time over the baseline's in that block.
    """
    end = time.perf_counter() + seconds
    clocked = {name: partial(_seconds, run, device) for name, run in arms.items()}
    return _in_turns(clocked, baseline, lambda done: time.perf_counter() >= end and done >= MIN_BLOCKS)


def timed_by_themselves(arms: Mapping[str, Callable[[], float]], baseline: str, blocks: int) -> dict[str, Timing]:
    """The same of arms that return the seconds they took, such as processes with a start that does not count."""
    return _in_turns(arms, baseline, lambda done: done >= blocks)


def _in_turns(
    arms: Mapping[str, Callable[[], float]], baseline: str, enough: Callable[[int], bool]
) -> dict[str, Timing]:
    blocks: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    while not enough(len(blocks[baseline])):
        there = [arms[name]() for name in names]
        back = [arms[name]() for name in reversed(names)][::-1]
        for name, first, second in zip(names, there, back, strict=True):
            blocks[name].append(first + second)
        names = names[1:] + names[:1]
    return {name: _timing(blocks[name], blocks[baseline]) for name in arms}


def _timing(arm: list[float], baseline: list[float]) -> Timing:
    ratios_N = np.array(arm) / np.array(baseline)
    draws = np.random.default_rng(0).integers(0, len(ratios_N), (10_000, len(ratios_N)))
    low, high = np.percentile(np.median(ratios_N[draws], axis=1), [2.5, 97.5])
    ratio = float(np.median(ratios_N))
    return Timing(statistics.median(arm) * 500, ratio, float(low), float(high), len(arm))


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def allocated_at_most(run: Callable[[], object], device: torch.device) -> int:
    """The most bytes that the run had allocated at once, beside what was there before it.

    On a CPU summed from the profiler's record of torch's allocator, on a GPU from its own counter.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    from torch.profiler import ProfilerActivity, profile

    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler tells of itself on stderr
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    events = record.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return int(np.cumsum([0, *(change for _, change in changes)]).max())


def names_among(known: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an argument that takes some of these names, by commas."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}. Known: {', '.join(known)}")
        return names

    return parse


def machine(device: torch.device) -> dict[str, str]:
    """What the numbers hold for."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else cpu,
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
        "load average": f"{os.getloadavg()[0]:.1f}",
    }
