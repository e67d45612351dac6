"""Two reports side by side: which differences are real, on the test images that both share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hardedge.console import progress_bar
from hardedge.contracts import (
    ComparedRun,
    Comparison,
    EngineDifference,
    Latency,
    LatencyPair,
    Report,
    Task,
    load,
)
from hardedge.deploy.parity.image_counts import ImageCounts, read_counts
from hardedge.errors import BadInput, faults_error
from hardedge.metrics import Counts
from hardedge.paths import StrPath, local_paths
from hardedge.statistics.two_runs import real_differences

REFERENCE = "reference run"
HARDWARE = ("cpu", "cores", "gpu")
CAVEAT = "two runs, not interleaved: the machine may have been busy in one of them; hardedge bench compares in turn"
_SAME_DATA = "Verify both on one data set: hardedge verify BUNDLE ENGINE --data DATA"

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Run:
    """A report with its counts and the directory that it was read from."""

    directory: Path
    report: Report
    counts: ImageCounts


def compare_reports(a: StrPath, b: StrPath, *, shared: bool = False) -> Comparison:
    """Compares two reports on the test images that both share.

    Each is a report's directory, or one that has it in `report/` (what deploy and run write). Raises BadInput for
    other classes, and for test images, labels or image files that are not the same, unless `shared`: then those are
    left out, and counted.
    """
    a, b = local_paths((a, b))
    one, other = (_read(directory) for directory in (a, b))
    if one.report.digest == other.report.digest:
        raise BadInput(f"{a} and {b} are one and the same report. Give the reports of two runs.")
    task = _common_task(one, other)
    places_2N = _common_images(one, other, shared)
    engines = tuple(_differences(one, other, places_2N, _pairs(one.report, other.report)))
    ids = {image.id for run in (one, other) for image in run.counts.images}
    return Comparison(
        a=_side(one),
        b=_side(other),
        classes=task.classes,
        images=places_2N.shape[1],
        left_out=len(ids) - places_2N.shape[1],
        engines=engines,
        unpaired=tuple(_unpaired_notes(one.report, other.report, engines)),
        latency=tuple(_latencies(one.report, other.report)),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _read(directory: Path) -> Run:
    directory = report_directory(directory)
    report = load(Report, directory)
    return Run(directory, report, read_counts(directory, report))


def report_directory(directory: Path) -> Path:
    """The directory itself, or `report` in it where that has the report."""
    inside = directory / "report"
    return inside if not (directory / Report.FILE).is_file() and (inside / Report.FILE).is_file() else directory


def _common_task(one: Run, other: Run) -> Task:
    """The classes of both; raises BadInput where names, order or ignored label differ."""
    tasks = one.report.task, other.report.task
    names_a, names_b = ([info.name for info in task.classes] for task in tasks)
    if names_a == names_b and tasks[0].ignore_index == tasks[1].ignore_index:
        return tasks[0]
    faults = []
    for run, only in ((one, set(names_a) - set(names_b)), (other, set(names_b) - set(names_a))):
        faults += [f"only {run.directory} has {_some(sorted(only))}"] if only else []
    if names_a != names_b:
        faults = faults or ["the same names in another order"]
    if tasks[0].ignore_index != tasks[1].ignore_index:
        faults.append(f"ignore index {tasks[0].ignore_index} and {tasks[1].ignore_index}")
    raise faults_error(f"{one.directory} and {other.directory} have other classes", faults, _SAME_DATA)


def _common_images(one: Run, other: Run, shared: bool) -> npt.NDArray[np.int64]:
    """The places of the images that both share, int64 [2, N]; raises BadInput for others unless `shared`."""
    of_a, of_b = ({image.id: image for image in run.counts.images} for run in (one, other))
    both = [id for id in of_a if id in of_b]
    labels = [id for id in both if of_a[id].label_sha256 != of_b[id].label_sha256]
    files = [id for id in both if of_a[id].image_sha256 != of_b[id].image_sha256]
    same = [id for id in both if of_a[id] == of_b[id]]
    named = {
        f"only in {one.directory}": [id for id in of_a if id not in of_b],
        f"only in {other.directory}": [id for id in of_b if id not in of_a],
        "with other labels": labels,
        "with another image file": files,
    }
    faults = [f"{len(ids)} {what}: {_some(ids)}" for what, ids in named.items() if ids]
    if faults and not (shared and same):
        fix = f"{_SAME_DATA}\nOr compare the {len(same)} that are the same: --shared" if same else _SAME_DATA
        raise faults_error(f"{one.directory} and {other.directory} were tested on other images", faults, fix)
    places = ({image.id: place for place, image in enumerate(run.counts.images)} for run in (one, other))
    return np.array([[of[id] for id in same] for of in places], np.int64)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _pairs(one: Report, other: Report) -> list[tuple[Key, Key]]:
    """The engines of one target and precision in both; a single engine each where they have none in common."""
    keys_a, keys_b = _keys(one), _keys(other)
    if len(keys_a) == len(keys_b) == 1:
        return [(keys_a[0], keys_b[0])]
    return [(key, key) for key in keys_a if key in keys_b]


def _keys(report: Report) -> list[Key]:
    """Target, precision, and which of those it is, of every engine that ran on the test images."""
    seen: Counter[tuple[str, str]] = Counter()
    keys = []
    for run in report.parity:
        keys.append((run.target, run.precision, seen[run.target, run.precision]))
        seen[run.target, run.precision] += 1
    return keys


def _unpaired_notes(one: Report, other: Report, engines: Sequence[EngineDifference]) -> Iterator[str]:
    compared = ("A", one, {each.a for each in engines}), ("B", other, {each.b for each in engines})
    for name, report, done in compared:
        yield from (f"{_engine_name(key)} of {name}" for key in _keys(report) if _engine_name(key) not in done)


def _engine_name(key: Key) -> str:
    target, precision, number = key
    return f"{target} {precision}" + (f" ({number + 1})" if number else "")


def _differences(
    one: Run, other: Run, places_2N: npt.NDArray[np.int64], pairs: list[tuple[Key, Key]]
) -> Iterator[EngineDifference]:
    names = [info.name for info in one.report.task.classes]
    arms: list[tuple[tuple[str, str], Counts, Counts]] = [
        ((REFERENCE, REFERENCE), one.counts.reference_NC3, other.counts.reference_NC3)
    ]
    places_a, places_b = _keys(one.report), _keys(other.report)
    for a, b in pairs:
        counts = one.counts.engines[places_a.index(a)], other.counts.engines[places_b.index(b)]
        arms.append(((_engine_name(a), _engine_name(b)), *counts))
    for named, a_NC3, b_NC3 in progress_bar(arms, "comparing"):
        # an engine that broke off has the images before, which may be none of the other's
        run_2N = places_2N[:, (places_2N[0] < len(a_NC3)) & (places_2N[1] < len(b_NC3))]
        if run_2N.size:
            yield real_differences(a_NC3[run_2N[0]], b_NC3[run_2N[1]], names, named)


def _latencies(one: Report, other: Report) -> Iterator[LatencyPair]:
    times = {(run.target, run.precision): run for run in other.latency}
    for run in one.latency:
        if beside := times.get((run.target, run.precision)):
            yield _latency(run, beside, _obstacle(run, beside, one, other))


def _latency(a: Latency, b: Latency, obstacle: str | None) -> LatencyPair:
    return LatencyPair(
        a=f"{a.target} {a.precision}",
        b=f"{b.target} {b.precision}",
        p50_a=a.p50,
        p50_b=b.p50,
        change=None if obstacle else 100 * (b.p50 / a.p50 - 1),
        detail=obstacle or CAVEAT,
    )


def _obstacle(a: Latency, b: Latency, one: Report, other: Report) -> str | None:
    """Why two latencies cannot be compared at all."""
    if a.size != b.size:
        sizes = (f"{run.size[0]}x{run.size[1]}" for run in (a, b))
        return f"not comparable: images of {' and '.join(sizes)}"
    for fact in HARDWARE:
        found = tuple(report.machine.get(fact, "unknown") for report in (one, other))
        if found[0] != found[1]:
            return f"not comparable: {fact} {found[0]} and {found[1]}"
    return None


def _side(run: Run) -> ComparedRun:
    report = run.report
    return ComparedRun(
        directory=str(run.directory),
        digest=report.digest,
        made_from=report.made_from,
        verdict=report.verdict,
        network=report.network.name,
        loss=report.loss,
        branches=report.branches,
        data=report.data,
        machine=report.machine,
        created=report.created,
        hardedge=report.hardedge,
    )
