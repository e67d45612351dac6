"""Populations of test images whose true mIoU drop is known, as networks lose it: evenly, or in a few images.

Confusion counts of reference and target masks of 24x32 pixels and four classes, the fourth one rare. A population of
20,000 images is itself the truth; a trial draws its images from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardedge.metrics import iou_per_class, mean_iou

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

POOL, PIXELS = 20_000, 768
COMMON = (0.58, 0.3, 0.12)
MISTAKEN_FOR = (0.58, 0.3, 0.11, 0.01)
CLASSES = len(MISTAKEN_FOR)


@dataclass(frozen=True)
class Population:
    """Both arms' confusion counts [POOL, C, C], and which images are of the kind that loses."""

    name: str
    reference_NCC: Counts
    target_NCC: Counts
    losing_N: npt.NDArray[np.bool_]

    @property
    def drop(self) -> float:
        """The true drop in points."""
        return 100 * (mean_iou(self.reference_NCC.sum(0)) - mean_iou(self.target_NCC.sum(0)))

    @property
    def class_drop(self) -> float:
        """The true drop in points of the class that loses most."""
        before_C, after_C = (iou_per_class(counts.sum(0)) for counts in (self.reference_NCC, self.target_NCC))
        return float(100 * np.max(before_C - after_C))


def populations(seed: int = 0) -> Iterator[Population]:
    """The six of docs/verdicts.md, and the second one with losses that differ more."""
    rng = np.random.default_rng(seed)
    labels_NC, sparse_NC = _labels(rng, 1.0), _labels(rng, 0.05)
    hard_N = 0.8 * rng.beta(1.2, 6, POOL)
    tenth, few, failing = (rng.random(POOL) < share for share in (0.1, 0.04, 0.02))
    has_rare = sparse_NC[:, -1] > 0
    third = has_rare & (rng.random(POOL) < 0.3)
    everywhere, all_classes, rare_class = np.ones(POOL, bool), np.ones(CLASSES), np.arange(CLASSES) == CLASSES - 1
    situations = (
        ("errors diffuse", labels_NC, everywhere, 0.004 * hard_N / hard_N.mean(), all_classes, 0.0),
        ("crowded on a tenth of the images", labels_NC, tenth, rng.beta(2, 30, POOL), all_classes, 0.0),
        ("the same, losses exponential", labels_NC, tenth, 0.04 * rng.exponential(1, POOL), all_classes, 0.0),
        ("most gain, 4 % lose a lot", labels_NC, few, rng.beta(2, 4, POOL), all_classes, 0.03),
        ("only a rare class (5 %) loses", sparse_NC, has_rare, rng.beta(2, 6, POOL), rare_class, 0.0),
        ("2 % of the images fail", labels_NC, failing, np.full(POOL, 0.8), all_classes, 0.0),
        ("a rare class lost in 30 % of its images", sparse_NC, third, np.full(POOL, 0.95), rare_class, 0.0),
    )
    for name, labels, kind_N, lost_N, classes_C, gained in situations:
        lost_NC = np.clip((kind_N * lost_N)[:, None] * classes_C, 0, 1)
        yield Population(name, *_arms(rng, labels, hard_N, lost_NC, gained), kind_N)


def rounding(seed: int = 0, *, classes: int = 19, pixels: int = 32_768, flipped: float = 5e-4) -> Population:
    """What FP16 does: pixels near class boundaries flip, as many right ones as wrong ones; 19 long-tailed classes."""
    rng = np.random.default_rng(seed)
    share_C, presence_C = np.geomspace(0.4, 0.0004, classes), np.linspace(1, 0.03, classes)
    there_NC = rng.random((4000, classes)) < presence_C
    area_NC = there_NC * share_C / presence_C * rng.gamma(1.5, 1 / 1.5, there_NC.shape) + 1e-9
    labels_NC = rng.multinomial(pixels, area_NC / area_NC.sum(1, keepdims=True))
    wrong_NC = rng.binomial(labels_NC, np.linspace(0.03, 0.4, classes) * rng.beta(3, 3, (4000, 1)) * 2)
    right_NC = labels_NC - wrong_NC
    rate_N1 = flipped / 2 * rng.gamma(1, 1, (4000, 1))
    lost_NC = rng.binomial(right_NC, rate_N1)
    gained_NC = rng.binomial(wrong_NC, np.clip(rate_N1 * right_NC / np.maximum(wrong_NC, 1), 0, 1))
    arms = _confusions(rng, right_NC, wrong_NC, lost_NC, gained_NC, share_C)
    return Population("FP16", *arms, np.ones(4000, bool))


def _labels(rng: np.random.Generator, presence: float) -> Counts:
    """Pixels of each class [POOL, C]; the rare class is in that share of the images."""
    rare_N = np.clip(0.01 + rng.gamma(2, 0.02, POOL), 0, 0.5) * (rng.random(POOL) < presence)
    common_NC = rng.dirichlet(3 * np.array(COMMON), POOL)
    return rng.multinomial(PIXELS, np.column_stack((common_NC * (1 - rare_N[:, None]), rare_N)))


def _arms(
    rng: np.random.Generator, labels_NC: Counts, hard_N: Floats, lost_NC: Floats, gained: float
) -> tuple[Counts, Counts]:
    wrong_NC = rng.binomial(labels_NC, hard_N[:, None])
    right_NC = labels_NC - wrong_NC
    lost = rng.binomial(right_NC, lost_NC)
    return _confusions(rng, right_NC, wrong_NC, lost, rng.binomial(wrong_NC, gained), np.array(MISTAKEN_FOR))


def _confusions(
    rng: np.random.Generator, right_NC: Counts, wrong_NC: Counts, lost_NC: Counts, gained_NC: Counts, share_C: Floats
) -> tuple[Counts, Counts]:
    """Confusion counts of both arms; wrong pixels are taken for other classes by `share_C`."""
    images, classes = right_NC.shape
    reference, target = (np.zeros((images, classes, classes), np.int64) for _ in range(2))
    for index in range(classes):
        others_C = np.where(np.arange(classes) == index, 0, share_C)
        others_C = others_C / others_C.sum()
        kept, mended, new = (
            rng.multinomial(count_N, others_C)
            for count_N in (wrong_NC[:, index] - gained_NC[:, index], gained_NC[:, index], lost_NC[:, index])
        )
        reference[:, index], target[:, index] = kept + mended, kept + new
        reference[:, index, index] = right_NC[:, index]
        target[:, index, index] = right_NC[:, index] - lost_NC[:, index] + gained_NC[:, index]
    return reference, target
