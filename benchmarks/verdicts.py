"""How often the verdicts err, and how often they decide: the statistics on data whose truth is known.

    python benchmarks/verdicts.py [TRIALS]

prints the table of docs/verdicts.md. No clock and no model: seeded numbers, the same on every machine.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardedge.metrics import hit_labelled_predicted, iou_per_class, mean_iou
from hardedge.statistics.equivalence import compare_times
from hardedge.statistics.non_inferiority import miou_difference
from hardedge.statistics.two_runs import real_differences

TRIALS = 300
EVERY_SAMPLE = 99.0  # --max-unseen: also samples that the default of 10 % takes for too few
POOL = 4000  # images of which a trial draws its own; their sums are the truth
CLASS_SHARES = (0.55, 0.3, 0.12, 0.03)


@dataclass(frozen=True)
class Rate:
    """One simulated situation: what is true in it, and the share of trials with the answer in question."""

    name: str
    answer: str
    rate: float
    wrong: bool


@dataclass(frozen=True)
class Machine:
    """How a machine disturbs timings, as shares of a run's time.

    `session` is a session pair's own speed, `process` that of each pair's process, `shared` that of the one process of
    all pairs, `fourth` what every fourth run takes longer; `fixed`: every block is ABBA.
    """

    noise: float = 0.02
    session: float = 0.003
    process: float = 0.0
    shared: float = 0.0
    fourth: float = 0.0
    fixed: bool = False


def timings(
    rng: np.random.Generator, ratio: float, pairs: int, blocks: int, machine: Machine
) -> list[npt.NDArray[np.float64]]:
    """Seconds [blocks, arm, run] of each session pair: a block's drift, noise, hiccups, and what a machine does."""
    made = []
    for _ in range(pairs):
        drift = np.exp(rng.normal(0, 0.05, (blocks, 1, 1)))
        times = 0.01 * drift * np.exp(rng.normal(0, machine.noise, (blocks, 2, 2)))
        times *= np.where(rng.random(times.shape) < 0.02, 1.5, 1.0)
        times[:, 1] *= ratio * np.exp(rng.normal(0, machine.session))
        made.append(times)
    if machine.process:
        for times, speed in zip(made, rng.normal(0, machine.process, pairs), strict=True):
            times[:, 1] *= np.exp(speed)
    if machine.shared:
        speed = rng.normal(0, machine.shared)
        made = [times * np.exp([[0], [speed]]) for times in made]
    if machine.fourth:
        place = int(rng.integers(4))
        made = [times * (1 + machine.fourth * _every_fourth(rng, blocks, place, machine.fixed)) for times in made]
    return made


def _every_fourth(rng: np.random.Generator, blocks: int, place: int, fixed: bool) -> npt.NDArray[np.float64]:
    """1 where a run is the one of four that is hit, [blocks, arm, run]: always at the same place of a block."""
    outer = np.zeros(blocks, np.int64) if fixed else rng.integers(2, size=blocks)
    hit = np.zeros((blocks, 2, 2))
    hit[np.arange(blocks), np.where(place in (0, 3), outer, 1 - outer), int(place in (2, 3))] = 1
    return hit


def latency_rate(
    ratio: float, answer: str, trials: int, *, pairs: int = 10, blocks: int = 30, machine: Machine | None = None
) -> float:
    """The share of trials in which arms of this true ratio get this answer."""
    answers = Counter(
        compare_times(
            timings(np.random.default_rng(seed), ratio, pairs, blocks, machine or Machine()), seed=seed
        ).status
        for seed in range(trials)
    )
    return answers[answer] / trials


def machine_rates(trials: int) -> Iterator[Rate]:
    """What a fixed order and a shared process did to the verdict, and what is left of it."""
    for name, fixed in (("every block ABBA", True), ("ABBA or BAAB by chance", False)):
        machine = Machine(fourth=0.1, fixed=fixed)
        rate = latency_rate(1.0, "different", trials, machine=machine)
        yield Rate(f"latency, equal arms, every fourth run 10 % slower, {name}", "different", rate, wrong=True)
    for name, machine in (("one process", Machine(shared=0.005)), ("a process a pair", Machine(process=0.005))):
        rate = latency_rate(1.01, "equivalent", trials, machine=machine)
        yield Rate(f"latency, true ratio 1.01, a process's speed differs by 0.5 %, {name}", "equivalent", rate, True)


Counts = npt.NDArray[np.int64]


def population(lost: float, gained: float, seed: int = 0) -> tuple[Counts, Counts]:
    """Confusion counts [POOL, C, C] of reference and target masks of 24x32 pixels, hard and easy images mixed.

    The target differs in the share `lost` of the reference's right pixels and gets `gained` of its wrong ones right;
    both vary from image to image, as errors do.
    """
    rng = np.random.default_rng(seed)
    classes = len(CLASS_SHARES)
    label_NP = np.stack([rng.choice(classes, 768, p=rng.dirichlet(3 * np.array(CLASS_SHARES))) for _ in range(POOL)])
    hard_N1 = rng.beta(1.2, 6, (POOL, 1))
    reference_NP = np.where(rng.random(label_NP.shape) < hard_N1, rng.integers(0, classes, label_NP.shape), label_NP)
    right_NP = reference_NP == label_NP
    worse_NP = right_NP & (rng.random(label_NP.shape) < lost * hard_N1 / hard_N1.mean())
    better_NP = ~right_NP & (rng.random(label_NP.shape) < gained)
    other_NP = (label_NP + rng.integers(1, classes, label_NP.shape)) % classes
    target_NP = np.where(worse_NP, other_NP, np.where(better_NP, label_NP, reference_NP))
    return _confusion(label_NP, reference_NP), _confusion(label_NP, target_NP)


def _confusion(label_NP: npt.NDArray[np.int64], mask_NP: npt.NDArray[np.int64]) -> Counts:
    classes = len(CLASS_SHARES)
    pairs_NP = (np.arange(len(label_NP))[:, None] * classes + label_NP) * classes + mask_NP
    return np.bincount(pairs_NP.reshape(-1), minlength=len(label_NP) * classes**2).reshape(-1, classes, classes)


def true_drop(reference_NCC: Counts, target_NCC: Counts) -> float:
    """The population's own mIoU drop in points."""
    return 100 * (mean_iou(reference_NCC.sum(0)) - mean_iou(target_NCC.sum(0)))


def parity_rate(arms: tuple[Counts, Counts], images: int, margin: float, answer: str, trials: int) -> float:
    """The share of trials, each on its own draw of images, that get this answer."""
    answers: Counter[str] = Counter()
    for seed in range(trials):
        drawn = np.random.default_rng(seed).integers(POOL, size=images)
        answers[miou_difference(arms[0][drawn], arms[1][drawn], margin, seed=seed, max_unseen=EVERY_SAMPLE).status] += 1
    return answers[answer] / trials


def class_alarm_rate(arms: tuple[Counts, Counts], images: int, trials: int) -> float:
    """The share of trials in which any class is said to have lost more than the most that one truly lost."""
    reference_C, target_C = (iou_per_class(counts.sum(0)) for counts in arms)
    margin = 100 * float((reference_C - target_C).max())
    alarms = 0
    for seed in range(trials):
        drawn = np.random.default_rng(seed).integers(POOL, size=images)
        p_worse = miou_difference(arms[0][drawn], arms[1][drawn], margin, seed=seed).p_worse
        alarms += any(p is not None and p < 0.05 for p in p_worse)
    return alarms / trials


def called_real(arms: tuple[Counts, Counts], images: int, seed: int, *, swapped: bool) -> tuple[bool, bool]:
    """Whether the mIoU, and whether any class, of two runs on a draw of images is called really different.

    `swapped`: in every image a coin says which run has which masks, so that neither is better in truth.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(POOL, size=images)
    one, other = (hit_labelled_predicted(arm[drawn]) for arm in arms)
    if swapped:
        coin_N11 = rng.random((images, 1, 1)) < 0.5
        one, other = np.where(coin_N11, other, one), np.where(coin_N11, one, other)
    found = real_differences(one, other, [str(index) for index in range(len(CLASS_SHARES))], ("", ""))
    real = ("better", "worse")
    return found.miou.status in real, any(row.status in real for row in found.per_class)


def comparison_rates(trials: int) -> Iterator[Rate]:
    """How often `hardedge report A B` calls chance real, and a real difference real."""
    equal, worse = population(0.004, 0.03), population(0.004, 0.0)
    for images in (10, 20, 50, 100, 500):
        for name, arms, swapped in (("equal in truth", equal, True), ("one truly worse", worse, False)):
            found = [called_real(arms, images, seed, swapped=swapped) for seed in range(trials)]
            what = f"two runs, {name}, {images} images"
            yield Rate(what, "mIoU differs", sum(miou for miou, _ in found) / trials, wrong=swapped)
            yield Rate(what, "a class differs", sum(classes for _, classes in found) / trials, wrong=swapped)


def latency_rates(trials: int) -> Iterator[Rate]:
    """False passes at the margin and beyond it, power at equal speed and at a real difference."""
    for pairs in (5, 10):
        for ratio in (1.01, 0.99, 1.02):
            rate = latency_rate(ratio, "equivalent", trials, pairs=pairs)
            yield Rate(f"latency, true ratio {ratio}, {pairs} session pairs", "equivalent", rate, wrong=True)
        equal = latency_rate(1.0, "equivalent", trials, pairs=pairs)
        yield Rate(f"latency, equal arms, {pairs} session pairs", "equivalent", equal, wrong=False)
        yield Rate(
            f"latency, equal arms, {pairs} session pairs",
            "different",
            latency_rate(1.0, "different", trials, pairs=pairs),
            wrong=True,
        )
        slower = latency_rate(1.03, "different", trials, pairs=pairs)
        yield Rate(f"latency, true ratio 1.03, {pairs} session pairs", "different", slower, wrong=False)


def parity_rates(trials: int) -> Iterator[Rate]:
    """False passes when the true drop is the margin, power when nothing is lost and when much is."""
    worse, equal = population(0.004, 0.0), population(0.004, 0.03)
    drop = true_drop(*worse)
    for images in (20, 50, 100, 500):
        at_margin = parity_rate(worse, images, drop, "pass", trials)
        yield Rate(f"mIoU, true drop equal to the margin, {images} images", "pass", at_margin, wrong=True)
        failed = parity_rate(worse, images, drop / 2, "fail", trials)
        yield Rate(f"mIoU, true drop twice the margin, {images} images", "fail", failed, wrong=False)
        kept = parity_rate(equal, images, true_drop(*equal) + 0.1, "pass", trials)
        yield Rate(f"mIoU, true drop 0.1 points inside the margin, {images} images", "pass", kept, wrong=False)
        alarmed = class_alarm_rate(worse, images, trials)
        yield Rate(
            f"classes, the largest true drop equal to the margin, {images} images", "p < 0.05", alarmed, wrong=True
        )


def main(trials: int = TRIALS) -> None:
    print("| what is true | answer | share of trials | |\n|---|---|---|---|")
    for rate in (*latency_rates(trials), *machine_rates(trials), *parity_rates(trials), *comparison_rates(trials)):
        meaning = "error, nominal 5 %" if rate.wrong else "power"
        print(f"| {rate.name} | {rate.answer} | {100 * rate.rate:.1f} % | {meaning} |", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
