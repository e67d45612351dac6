"""Gates on the mIoU that an engine loses, judged by the interval's bounds."""

from collections.abc import Callable, Sequence

from hardedge.contracts import Gate, Parity, Verdict
from hardedge.deploy.parity.detail import too_few, unseen_text
from hardedge.statistics.bootstrap import FEWEST_IMAGES
from hardedge.statistics.signed import signed_text, span_text
from hardedge.statistics.unseen import MAX_UNSEEN


def miou_gates(limit: float, parity: Sequence[Parity], max_unseen: float = MAX_UNSEEN) -> list[Gate]:
    """One gate a target that ran: the interval's lower end must not lie below -limit; few images decide nothing."""
    return _drop_gates("--max-miou-drop", f"at most {limit:g} points", lambda run: limit, parity, max_unseen)


def relative_miou_gates(least: float, parity: Sequence[Parity], max_unseen: float = MAX_UNSEEN) -> list[Gate]:
    """The same for a drop in proportion to the reference's mIoU: at least `least` (0..1) of it is kept."""

    def limit(run: Parity) -> float:
        return (1 - least) * run.miou_reference

    return _drop_gates("--min-relative-miou", relative_text(least), limit, parity, max_unseen)


def relative_text(least: float) -> str:
    return f"at least {100 * least:g} % of the reference's mIoU"


def _drop_gates(
    name: str, said: str, limit_of: Callable[[Parity], float], parity: Sequence[Parity], max_unseen: float
) -> list[Gate]:
    if not parity:
        found = "not measured: no engine was run on the test images"
        return [Gate(name=name, limit=said, found=found, status="inconclusive")]
    gates = []
    for run in parity:
        limit = limit_of(run)
        low, high = run.interval.low, run.interval.high
        status: Verdict = "pass" if low >= -limit else "fail" if high < -limit else "inconclusive"
        change, span = signed_text(run.difference, 3), span_text(low, high, 3)
        found = f"{run.target} {run.precision}: {change} points, 90 % interval {span}"
        differing = (low, high) != (0, 0)
        if status == "fail" and _images(run) < FEWEST_IMAGES:
            status, found = "inconclusive", f"{found}, of {_images(run)} images: {FEWEST_IMAGES} at least decide"
        elif status == "pass":
            few = too_few(_images(run), differing, max_unseen)
            status = "inconclusive" if few else "pass"
            found = f"{found}, {_images(run)} images; {few or unseen_text(_images(run))}"
        if run.golden_agreement is None:
            status, found = "inconclusive", f"{found}, {run.detail}"
        gates.append(Gate(name=name, limit=said, found=found, status=status))
    return gates


def _images(run: Parity) -> int:
    """The images with a labelled pixel; earlier versions did not tell them from the others."""
    return run.images if run.labelled is None else run.labelled
