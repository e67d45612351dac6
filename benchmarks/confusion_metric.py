"""How much faster our confusion counts are than torchmetrics' multiclass confusion matrix, on the same CPU and masks.

    python benchmarks/confusion_metric.py [--seconds 20] [--json]

All arms take turns within a round, there and back; both must give the same integers. `ours again` is the A/A control:
its ratio shows the noise. torchmetrics is timed as called by default, and without its argument checks.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from measure import machine
from torchmetrics.functional.classification import multiclass_confusion_matrix

from hardedge.metrics import confusion_counts

CASES = ((19, 512, 1024), (11, 360, 480))
IGNORED_SHARE = 0.08
BASE = "ours"
TARGET = 3.0

Arm = Callable[[], object]


@dataclass(frozen=True)
class Result:
    """One arm's median milliseconds, and its time over ours: the median of rounds with a 95 % bootstrap interval."""

    classes: int
    height: int
    width: int
    arm: str
    milliseconds: float
    ratio: float
    low: float
    high: float
    rounds: int


def masks(classes: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A blocky label and a prediction that is right on about nine pixels of ten, uint8."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, classes, (height // 8, width // 8), np.uint8)
    label_HW = np.ascontiguousarray(np.kron(blocks, np.ones((8, 8), np.uint8)))
    wrong_HW = rng.random((height, width)) < 0.1
    prediction_HW = np.where(wrong_HW, rng.integers(0, classes, (height, width), np.uint8), label_HW)
    label_HW[rng.random((height, width)) < IGNORED_SHARE] = 255
    return prediction_HW, label_HW


def make_arms(classes: int, height: int, width: int) -> dict[str, Arm]:
    prediction_HW, label_HW = masks(classes, height, width)
    prediction, label = torch.from_numpy(prediction_HW), torch.from_numpy(label_HW)

    def ours() -> np.ndarray:
        return confusion_counts(prediction_HW, label_HW, classes)

    def theirs(validate_args: bool) -> torch.Tensor:
        return multiclass_confusion_matrix(prediction, label, classes, ignore_index=255, validate_args=validate_args)

    expected = ours()
    for checked in (True, False):
        if not np.array_equal(theirs(checked).numpy(), expected):
            raise AssertionError("torchmetrics counts otherwise")
    return {
        BASE: ours,
        "ours again": ours,
        "torchmetrics": lambda: theirs(True),
        "torchmetrics, unchecked": lambda: theirs(False),
    }


def time_rounds(arms: dict[str, Arm], seconds: float) -> dict[str, np.ndarray]:
    """Seconds of each arm's two calls, round by round; each round starts with another arm."""
    rounds: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rounds[BASE]) < 5:
        spent = dict.fromkeys(names, 0.0)
        for name in (*names, *reversed(names)):
            began = time.perf_counter()
            arms[name]()
            spent[name] += time.perf_counter() - began
        for name in names:
            rounds[name].append(spent[name])
        names = names[1:] + names[:1]
    return {name: np.array(values) for name, values in rounds.items()}


def measure(case: tuple[int, int, int], seconds: float) -> list[Result]:
    arms = make_arms(*case)
    rounds = time_rounds(arms, seconds)
    rng = np.random.default_rng(0)
    results = []
    for name, spent_N in rounds.items():
        ratios_N = spent_N / rounds[BASE]
        drawn = ratios_N[rng.integers(0, len(ratios_N), (2000, len(ratios_N)))]
        low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
        milliseconds = float(500 * np.median(spent_N))
        results.append(
            Result(*case, name, milliseconds, float(np.median(ratios_N)), float(low), float(high), len(ratios_N))
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="for each size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [result for case in CASES for result in measure(case, options.seconds)]
    facts = machine(torch.device("cpu"))
    if options.json:
        told = [dataclasses.asdict(result) for result in results]
        print(json.dumps({"machine": facts, "results": told}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"target: torchmetrics takes at least {TARGET:g} times as long\n")
    for result in results:
        size = f"{result.classes} classes {result.height}x{result.width}"
        interval = f"[{result.low:.2f}, {result.high:.2f}]"
        print(f"{size:24} {result.arm:24} {result.milliseconds:8.2f} ms   x{result.ratio:.2f} {interval}")


if __name__ == "__main__":
    main()
