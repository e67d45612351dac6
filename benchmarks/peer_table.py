"""What peers.py found, as tables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from measure import Timing
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Sizes:
    """What a peer ships: parameters and multiply-adds of its ONNX file for one image, and the file's bytes."""

    parameters: int
    multiply_adds: int
    bytes: int


@dataclass(frozen=True)
class Results:
    """Seconds to a first mask by peer and stage, timings by loop and arm, what is shipped, and mIoU in percent.

    mIoU is as each counts it: segmentation-models-pytorch takes a class that is nowhere as 1, hardedge leaves it out.
    `same_mask` is the share of pixels to which the plain script and hardedge give one class.
    """

    first: Mapping[str, Mapping[str, float]]
    loops: Mapping[str, Mapping[str, Timing]]
    sizes: Mapping[str, Sizes]
    miou: Mapping[str, float]
    same_mask: float


def print_tables(results: Results, facts: Mapping[str, str], title: str) -> None:
    console = Console(width=None if os.isatty(1) else 140)
    console.print(title, highlight=False)
    for table in (_first(results), _loops(results), _shipped(results)):
        console.print(table)
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    console.print(f"plain script and hardedge: one class for {100 * results.same_mask:.4f} % of the pixels; {told}")


def _table(title: str, columns: tuple[str, ...], left: int) -> Table:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < left else "right")
    return table


def _first(results: Results) -> Table:
    stages = list(next(iter(results.first.values())))
    table = _table("to a first mask, s", ("peer", *stages, "whole"), left=1)
    for peer, seconds in results.first.items():
        table.add_row(peer, *(f"{seconds[stage]:.1f}" for stage in stages), f"{sum(seconds.values()):.1f}")
    return table


def _loops(results: Results) -> Table:
    table = _table("loops", ("loop", "arm", "ms", "a second", "time ratio", "95 % interval"), left=2)
    for loop, arms in results.loops.items():
        for arm, timing in arms.items():
            rate, interval = 1000 / timing.ms, f"{timing.low:.3f} .. {timing.high:.3f}"
            table.add_row(loop, arm, f"{timing.ms:.1f}", f"{rate:.1f}", f"{timing.ratio:.3f}", interval)
    return table


def _shipped(results: Results) -> Table:
    columns = ("peer", "parameters", "multiply-adds", "ONNX file, MB", "its mIoU, %")
    table = _table("what is shipped", columns, left=1)
    for peer, sizes in results.sizes.items():
        figures = f"{sizes.parameters / 1e6:.2f} M", f"{sizes.multiply_adds / 1e9:.2f} G", f"{sizes.bytes / 1e6:.1f}"
        table.add_row(peer, *figures, f"{results.miou[peer]:.2f}")
    return table
