"""What decides no verdict and should be looked at: classes at 0 %, changed masks, gains and losses that look wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardedge.contracts import Latency, Parity, Task
from hardedge.metrics import Counts, doubt_of_counts, hit_labelled_predicted, iou_of_parts
from hardedge.precisions import precision_named

LARGE_GAIN = 1.0  # points of mIoU that no conversion can add but by chance
SLOWER = 1.05


def report_warnings(
    counts_NCC: Counts, task: Task, parity: Sequence[Parity], latency: Sequence[Latency]
) -> tuple[str, ...]:
    """One line each; `counts_NCC` are the reference's of the test images."""
    found = [classes_at_zero(counts_NCC, task), doubt_of_counts(counts_NCC)]
    for run in parity:
        engine = f"{run.target} {run.precision}"
        found += (f"{engine}: {each}" for each in _run_warnings(run))
    found += _slower_ones(latency)
    return tuple(each for each in found if each)


def classes_at_zero(counts_NCC: Counts, task: Task) -> str | None:
    """The labelled classes that the reference does not find, by name; None where there are none."""
    iou_C = iou_of_parts(hit_labelled_predicted(counts_NCC.sum(0)))
    names = [info.name for info, iou in zip(task.classes, iou_C, strict=True) if iou == 0]
    if not names:
        return None
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} of {np.count_nonzero(~np.isnan(iou_C))} labelled classes at 0 %: {shown}"


def _run_warnings(run: Parity) -> Iterator[str]:
    usual = precision_named(run.precision).usual_agreement
    if run.pixel_agreement < usual:
        yield (
            f"{100 * run.pixel_agreement:.2f} % of the pixels are the reference's, below the {100 * usual:g} % that "
            f"{run.precision} usually keeps (--min-pixel-agreement makes a gate of it)"
        )
    for each in run.per_class:
        if each.predicted and each.predicted_reference == 0 and not each.labelled:
            yield f"{each.predicted:,} pixels of {each.name}, which neither the labels nor the reference have"
    if run.difference > LARGE_GAIN:
        yield (
            f"mIoU rises by {run.difference:.2f} points over the reference. A conversion adds no knowledge: the test "
            "images are few, or the network is hardly trained"
        )


def _slower_ones(latency: Sequence[Latency]) -> Iterator[str]:
    plain = {run.target: run for run in latency if run.precision == "fp32"}
    for run in latency:
        base = plain.get(run.target)
        if base and run is not base and run.size == base.size and run.p50 > SLOWER * base.p50:
            yield (
                f"{run.target} {run.precision} is slower than fp32: {run.p50:.1f} ms against {base.p50:.1f} ms (p50)"
            )
