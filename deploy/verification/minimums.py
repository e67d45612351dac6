"""Gates on what an engine reaches on the test images: mIoU, its lowest class, pixels as in the reference's masks.

They judge what was found on these images, without an inference about others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from hardedge.contracts import Gate, Parity, Verdict

Found: TypeAlias = Callable[[Parity], tuple[float, str]]
Judge: TypeAlias = Callable[[Sequence[Parity]], list[Gate]]


def minimum_gates(
    miou: float | None, class_iou: float | None, pixel_agreement: float | None
) -> Iterator[tuple[str, str, Judge]]:
    """The name, the limit in words, and the judge of each minimum that was asked for, in percent."""
    asked: tuple[tuple[str, float | None, Found], ...] = (
        ("--min-miou", miou, _miou),
        ("--min-class-iou", class_iou, _lowest_class),
        ("--min-pixel-agreement", pixel_agreement, _agreement),
    )
    for name, least, find in asked:
        if least is not None:
            limit = f"at least {least:g} %"
            yield name, limit, partial(_judged, name, limit, least, find)


def _judged(name: str, limit: str, least: float, find: Found, parity: Sequence[Parity]) -> list[Gate]:
    if not parity:
        found = "not measured: no engine was run on the test images"
        return [Gate(name=name, limit=limit, found=found, status="inconclusive")]
    gates = []
    for run in parity:
        value, words = find(run)
        status: Verdict = "pass" if value >= least else "fail"
        found = f"{run.target} {run.precision}: {words}, {run.images} images"
        if run.golden_agreement is None:
            status, found = "inconclusive", f"{found}, {run.detail}"
        gates.append(Gate(name=name, limit=limit, found=found, status=status))
    return gates


def _miou(run: Parity) -> tuple[float, str]:
    """Over the classes labelled or predicted: those predicted without a label count as 0."""
    scores = [each.target for each in run.per_class if each.target is not None]
    invented = sum(1 for each in run.per_class if each.target is None and each.predicted)
    miou = sum(scores) / max(len(scores) + invented, 1)
    more = f" ({invented} of its classes predicted without a label)" if invented else ""
    return miou, f"mIoU {miou:.2f} %{more}"


def _lowest_class(run: Parity) -> tuple[float, str]:
    scores = {each.name: each.target for each in run.per_class if each.target is not None}
    if not scores:
        return 0.0, "no class is labelled"
    name = min(scores, key=lambda each: scores[each])
    return scores[name], f"{name} has {scores[name]:.2f} %, the lowest of {len(scores)} labelled classes"


def _agreement(run: Parity) -> tuple[float, str]:
    return 100 * run.pixel_agreement, f"{100 * run.pixel_agreement:.3f} % of the pixels are the reference's"
