"""Whether two runs differ in more than the draw of test images explains: a paired bootstrap, pure statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hardedge.contracts import EngineDifference, Interval, RealDifference, ScoreDifference
from hardedge.metrics import Counts, iou_of_parts
from hardedge.statistics.bootstrap import FEWEST_IMAGES, RESAMPLES, Bca, difference_distributions
from hardedge.statistics.corrections import holm

REAL: Final = 0.05
CONFIDENCE: Final = 95.0
A_CLASS: Final = 400  # resamples: ten lie beyond the smallest p that Holm's correction over all classes asks for


def real_differences(a_NC3: Counts, b_NC3: Counts, names: Sequence[str], arms: tuple[str, str]) -> EngineDifference:
    """B minus A, of the pixels hit, labelled and predicted of each class in the same images, int64 [N, C, 3].

    Images are resampled for both together. Intervals and p-values are widened for few images as in `difference`, where
    only images count in which the two differ: the others say nothing of which is better.
    """
    mean, classes = difference_distributions(a_NC3, b_NC3, resamples=max(RESAMPLES, A_CLASS * len(names)))
    a_C, b_C = (100 * iou_of_parts(counts.sum(0)) for counts in (a_NC3, b_NC3))
    p_values = holm([_p(found) for found in classes])
    rows = zip(names, a_C.tolist(), b_C.tolist(), classes, p_values, strict=True)
    labelled = np.isfinite(a_C)
    whole = (float(a_C[labelled].mean()), float(b_C[labelled].mean()), mean, _p(mean))
    return EngineDifference(
        a=arms[0],
        b=arms[1],
        images=len(a_NC3),
        miou=_row("mIoU", *whole),
        per_class=tuple(_row(*row) for row in rows),
        tested=sum(p is not None for p in p_values),
    )


def _p(found: Bca | None) -> float | None:
    return found.p_different(found.differing) if found and found.differing >= FEWEST_IMAGES else None


def _row(name: str, a: float, b: float, found: Bca | None, p: float | None) -> ScoreDifference:
    if found is None:
        scores = {"a": None, "b": None, "difference": None, "interval": None}
        return ScoreDifference(name=name, p=None, status="not in the labels", images=0, **scores)
    tail = (1 - CONFIDENCE / 100) / 2
    low, high = (found.quantile(end, found.differing) for end in (tail, 1 - tail)) if found.differing else (0.0, 0.0)
    return ScoreDifference(
        name=name,
        a=a,
        b=b,
        difference=found.estimate,
        interval=Interval(low=low, high=high, confidence=CONFIDENCE),
        p=p,
        status=_status(found, p),
        images=found.differing,
    )


def _status(found: Bca, p: float | None) -> RealDifference:
    if not found.differing:
        return "equal"
    if p is None or p >= REAL:
        return "undecided"
    return "better" if found.estimate > 0 else "worse"
