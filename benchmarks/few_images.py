"""How often a drop equal to the margin passes where a few images carry it, and how often FP16's rounding passes.

    python benchmarks/few_images.py [TRIALS]

prints the tables of docs/verdicts.md. No clock and no model: seeded numbers, the same on every machine.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from populations import Population, populations, rounding

from hardedge.metrics import hit_labelled_predicted
from hardedge.statistics import non_inferiority
from hardedge.statistics.bootstrap import difference_distributions
from hardedge.statistics.non_inferiority import miou_difference, missing_images
from hardedge.statistics.unseen import MAX_UNSEEN

Indices = npt.NDArray[np.int64]

TRIALS = 300
IMAGES = (5, 10, 20, 29, 50, 100)
CLASS_IMAGES = (20, 29, 50, 100)  # 20: fewer pass nothing where a class differs
EVERY_SAMPLE = 99.0  # --max-unseen: also samples that the default of 10 % takes for too few


@dataclass(frozen=True)
class Passes:
    """The shares of trials that pass, of all and of those whose sample holds an image of the losing kind."""

    population: str
    images: int
    holding: int
    bca: float
    bca_holding: float
    every: float
    holding_only: float


def passes(population: Population, images: int, trials: int, *, before: bool = True) -> Passes:
    """How often a drop equal to the margin passes: by the BCa bootstrap of earlier versions, and as it is now."""
    held, bca, now = (np.zeros(trials, bool) for _ in range(3))
    for seed in range(trials):
        drawn = np.random.default_rng(seed).integers(len(population.losing_N), size=images)
        arms = population.reference_NCC[drawn], population.target_NCC[drawn]
        held[seed] = population.losing_N[drawn].any()
        now[seed] = miou_difference(*arms, population.drop, max_unseen=EVERY_SAMPLE).status == "pass"
        if before:
            mean, _ = difference_distributions(*map(hit_labelled_predicted, arms))
            bca[seed] = mean.quantile(0.05) > -population.drop
    among = [float(answers[held].mean()) if held.any() else 0.0 for answers in (bca, now)]
    rates = float(bca.mean()), among[0], float(now.mean()), among[1]
    return Passes(population.name, images, int(held.sum()), *rates)


def all_passes(trials: int, sizes: Sequence[int] = IMAGES) -> Iterator[Passes]:
    """A row a population and number of images."""
    for population in populations():
        for images in sizes:
            yield passes(population, images, trials)


def class_passes(population: Population, images: int, trials: int) -> tuple[float, float]:
    """How often the worst class passes at its true drop: of all samples, and of those that hold a losing image."""
    limit, held, passed = population.class_drop, np.zeros(trials, bool), np.zeros(trials, bool)
    for seed in range(trials):
        drawn = np.random.default_rng(seed).integers(len(population.losing_N), size=images)
        held[seed] = population.losing_N[drawn].any()
        passed[seed] = _classes_pass(population, drawn, limit, EVERY_SAMPLE)
    return float(passed.mean()), float(passed[held].mean()) if held.any() else 0.0


def _classes_pass(population: Population, drawn: Indices, limit: float, max_unseen: float) -> bool:
    found = miou_difference(population.reference_NCC[drawn], population.target_NCC[drawn], limit)
    return all(
        each.low >= -limit and not missing_images(each.images, each.differing > 0, max_unseen)
        for each in found.classes
        if each
    )


def rounding_passes(images: int, trials: int, margin: float = 0.1, class_limit: float = 1.0) -> tuple[float, float]:
    """The shares of trials in which FP16's flips of 0.05 % of the pixels pass: mIoU, and the worst class."""
    population = rounding()
    passed = classes = 0
    for seed in range(trials):
        drawn = np.random.default_rng(seed).integers(len(population.losing_N), size=images)
        arms = population.reference_NCC[drawn], population.target_NCC[drawn]
        passed += miou_difference(*arms, margin).status == "pass"
        classes += _classes_pass(population, drawn, class_limit, MAX_UNSEEN)
    return passed / trials, classes / trials


@contextmanager
def weights_kept() -> Iterator[None]:
    """Draws the weights of one number of images once: the verdict's seed is always 0."""
    drawn = non_inferiority.draw_weights
    non_inferiority.draw_weights = lru_cache(maxsize=1)(drawn)
    yield
    non_inferiority.draw_weights = drawn


def main(trials: int = TRIALS) -> None:
    print("| where the drop is | images | BCa: all samples | holding one | now: all samples | holding one |")
    print("|---" * 6 + "|")
    for row in all_passes(trials):
        rates = (row.bca, row.bca_holding, row.every, row.holding_only)
        cells = " | ".join(f"{100 * rate:.1f} %" for rate in rates)
        print(f"| {row.population} | {row.images} | {cells} |", flush=True)
    print("\n| where the drop is, at the worst class's own | images | all samples | holding one |\n|---|---|---|---|")
    for population in populations():
        for images in CLASS_IMAGES:
            cells = " | ".join(f"{100 * rate:.1f} %" for rate in class_passes(population, images, trials))
            print(f"| {population.name} | {images} | {cells} |", flush=True)
    print("\n| FP16, 99.95 % of the pixels equal | mIoU, 0.1 points | every class, 1 point |\n|---|---|---|")
    for images in (29, 48, 100, 200, 1000):  # a tenth of the trials of 1000: each takes seconds
        cells = " | ".join(
            f"{100 * rate:.1f} %" for rate in rounding_passes(images, trials if images < 1000 else trials // 10)
        )
        print(f"| {images} images | {cells} |", flush=True)


if __name__ == "__main__":
    with weights_kept():
        main(*(int(word) for word in sys.argv[1:]))
