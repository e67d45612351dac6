"""The gate on the worst class: no labelled class's IoU drops by more than a limit, on images like these.

Every class has to pass a test of its own level, so that a class which truly drops by the limit or more passes in at
most 5 % of the samples, however many classes there are (an intersection-union test: Berger 1982).
"""

from __future__ import annotations

from collections.abc import Sequence

from hardedge.contracts import ClassParity, Gate, Parity, Verdict
from hardedge.deploy.parity.detail import too_few, unseen_text
from hardedge.statistics.bootstrap import FEWEST_IMAGES
from hardedge.statistics.signed import signed_text, span_text
from hardedge.statistics.unseen import MAX_UNSEEN

NAME = "--max-class-drop"


def class_drop_gates(limit: float, parity: Sequence[Parity], max_unseen: float = MAX_UNSEEN) -> list[Gate]:
    """One gate a target that ran; a class in few images is not decided, as these say little of it."""
    said = f"at most {limit:g} points in every class"
    if not parity:
        found = "not measured: no engine was run on the test images"
        return [Gate(name=NAME, limit=said, found=found, status="inconclusive")]
    gates = []
    for run in parity:
        status, found = _judged(limit, run, max_unseen)
        found = f"{run.target} {run.precision}: {found}"
        if run.golden_agreement is None:
            status, found = "inconclusive", f"{found}, {run.detail}"
        gates.append(Gate(name=NAME, limit=said, found=found, status=status))
    return gates


def _judged(limit: float, run: Parity, max_unseen: float) -> tuple[Verdict, str]:
    known = [each for each in run.per_class if each.low is not None and each.images]
    if not known:
        return "inconclusive", "no class is labelled"
    lost = [each for each in known if _low(each.high) < -limit and (each.differing or 0) >= FEWEST_IMAGES]
    if lost:
        return "fail", "; ".join(map(_class_text, lost))
    worst = min(known, key=lambda each: _low(each.low))
    if _low(worst.low) < -limit:
        return "inconclusive", f"{_class_text(worst)}: more images that hold it would decide"
    few = [
        (each, missing) for each in known if (missing := too_few(each.images or 0, bool(each.differing), max_unseen))
    ]
    if few:
        rarest, missing = min(few, key=lambda each: each[0].images or 0)
        more = f", and {len(few) - 1} more classes are in too few" if len(few) > 1 else ""
        return "inconclusive", f"{rarest.name} is labelled in {rarest.images} images: {missing}{more}"
    fewest = min(known, key=lambda each: each.images or 0)
    return (
        "pass",
        f"{_class_text(worst)}; {fewest.name} is labelled in {fewest.images} images, the fewest: "
        + unseen_text(fewest.images or 0),
    )


def _low(value: float | None) -> float:
    return 0.0 if value is None else value


def _class_text(each: ClassParity) -> str:
    change, span = signed_text(_low(each.difference), 2), span_text(_low(each.low), _low(each.high), 2)
    return f"{each.name} {change} points, ends {span}"
