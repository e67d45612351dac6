"""What each switch of a recipe makes of the time of a training step.

    python benchmarks/training_switches.py [--seconds 120] [--network NAME] [--arms channels_last] [--json]

A step is `hardedge.train.loop.training_step`: forward, loss, backward, optimiser. Each arm has its own network and one
switch changed; all take turns within a block, there and back (ABCDDCBA), and a second plain arm shows the noise: its
ratio should be 1. The ratio is the median over blocks of the arm's time over the plain arm's in that block, with a 95 %
bootstrap interval over blocks. The first step of each arm, in which torch.compile compiles, is timed apart.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import Timing, machine, names_among, timings

from hardedge.console import spinner
from hardedge.contracts import ClassInfo, Task
from hardedge.train.batches.samples import TrainingSample
from hardedge.train.branches import HardnessBranch
from hardedge.train.loop import new_state, training_step
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe, require_usable

BASELINE = "plain"
ARMS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    "plain again": {},
    "fused=false": {"fused": False},
    "ema=0.999": {"ema": 0.999},
    "accumulate=2": {"accumulate": 2},
    "channels_last": {"channels_last": True},
    "bfloat16": {"amp": True, "bfloat16": True},
    "compile": {"compile": True},
}
NUM_CLASSES = 19


@dataclasses.dataclass(frozen=True)
class Result:
    """One arm: its step, and the seconds of its first one, in which torch.compile compiles."""

    arm: str
    timing: Timing
    first_s: float


def task() -> Task:
    classes = tuple(ClassInfo(name=str(index), color=(0, 0, 0)) for index in range(NUM_CLASSES))
    return Task(classes=classes, ignore_index=255)


def recipe(network: str, crop: tuple[int, int], batch: int) -> Recipe:
    return Recipe(
        name="switches",
        network=network,
        loss=parse_loss("recall + hardness"),
        branches=(HardnessBranch("light"),),
        learning_rate=1e-9,  # no arm may drift to where another is slow
        steps=10**9,
        batch=batch,
        crop=crop,
        evaluate_every=10**9,
        amp=False,
    )


def stepper(recipe: Recipe, batch: TrainingSample) -> Callable[[], object]:
    require_usable(recipe)
    state = new_state(recipe, task())
    on_device = batch.on(next(state.training.parameters()).device)
    return lambda: training_step(state, recipe, on_device)


def measure(
    network: str, names: list[str], batch: TrainingSample, seconds: float, device: torch.device
) -> list[Result]:
    crop = (batch.image.shape[2], batch.image.shape[3])
    plain = recipe(network, crop, len(batch.image))
    wanted = {BASELINE, "plain again", *names}
    arms = {name: stepper(dataclasses.replace(plain, **ARMS[name]), batch) for name in ARMS if name in wanted}
    firsts = {}
    for name, step in arms.items():
        started = time.perf_counter()
        step()
        firsts[name] = time.perf_counter() - started
        step()
    times = timings(arms, BASELINE, seconds, device)
    return [Result(name, times[name], firsts[name]) for name in arms]


def print_table(results: list[Result], facts: dict[str, str], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=", ".join(f"{key} {value}" for key, value in facts.items()))
    for column in ("arm", "step ms", "time ratio", "95 % interval", "blocks", "first step s"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for result in results:
        timing = result.timing
        interval = f"{timing.low:.3f} .. {timing.high:.3f}"
        row = (f"{timing.ms:.1f}", f"{timing.ratio:.3f}", interval, str(timing.blocks), f"{result.first_s:.1f}")
        table.add_row(result.arm, *row)
    Console(width=None if os.isatty(1) else 120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="A recipe's switches: the time of a training step over that without.")
    parser.add_argument("--seconds", type=float, default=120.0, help="time for the steps")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--batch", type=int, default=4, help="images in a step")
    parser.add_argument("--crop", type=int, nargs=2, default=(96, 160), help="height and width of an image")
    parser.add_argument("--network", default="deeplabv3plus_resnet18", help="any that hardedge trains")
    parser.add_argument("--arms", type=names_among(tuple(ARMS)), default=list(ARMS), help="those beside plain")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images_BCHW = torch.randn(args.batch, 3, *args.crop)
    target_BHW = torch.randint(0, NUM_CLASSES, (args.batch, *args.crop))
    with spinner(f"{args.network}, about {args.seconds:.0f} s and the compiler's time"):
        results = measure(args.network, args.arms, TrainingSample(images_BCHW, target_BHW, {}), args.seconds, device)
    facts = machine(device)
    if args.json:
        print(json.dumps({"machine": facts, "results": [dataclasses.asdict(result) for result in results]}, indent=1))
    else:
        height, width = args.crop
        print_table(results, facts, f"{args.network}, {args.batch} images of {height}x{width}, {NUM_CLASSES} classes")


if __name__ == "__main__":
    main()
