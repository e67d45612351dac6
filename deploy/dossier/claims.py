"""Claims of a report: each check with its result, and the file that is its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hardedge.contracts import Claim, Evidence, Parity, Report, Status, Verdict, load, sha256_of
from hardedge.deploy.report.two_reports import report_directory
from hardedge.errors import BadInput
from hardedge.statistics.signed import signed_text, span_text


@dataclass(frozen=True)
class FiledReport:
    """A report with the directory that it lies in."""

    directory: Path
    report: Report


def read_reports(directories: tuple[Path, ...]) -> tuple[FiledReport, ...]:
    """The reports of these directories, or of the folder `report` in them.

    Raises BadInput for what is no report, for one that is given twice, and for reports on different bundles.
    """
    places = map(report_directory, directories)
    filed = tuple(FiledReport(place, load(Report, place)) for place in places)
    digests = [each.report.digest for each in filed]
    if len(set(digests)) < len(digests):
        raise BadInput("the same report is given twice. Give each report once.")
    bundles = {each.report.made_from for each in filed}
    if len(bundles) > 1:
        named = ", ".join(f"{each.directory}: {(each.report.made_from or 'unknown')[:16]}..." for each in filed)
        raise BadInput(f"the reports are about different bundles ({named}). Write a dossier for each bundle.")
    return filed


def claims_of(filed: FiledReport) -> tuple[Claim, ...]:
    """Every check of the report as a claim; what was not run is a claim without a result, not left out."""
    evidence = Evidence(report=str(filed.directory), file=Report.FILE, sha256=sha256_of(filed.directory / Report.FILE))
    return tuple(
        Claim(requirement=requirement, claim=claim, check=check, status=status, found=found, evidence=evidence)
        for requirement, claim, check, status, found in _checks(filed.report)
    )


def _checks(report: Report) -> Iterator[tuple[str | None, str, str, Status | Verdict, str]]:
    for gate in report.gates:
        yield gate.requirement, f"{gate.name} {gate.limit}", "gate", gate.status, gate.found
    level0, level1 = report.certificate.level0, report.certificate.level1
    yield (
        *(None, "The shipped model is the plain network", "canonical digests of both ONNX files"),
        *(level0.status, level0.detail),
    )
    engines = level0.rtx_engines
    yield None, "Its engines are those of the plain network", "TensorRT-RTX engines", engines.status, engines.detail
    yield None, "Both networks have equal counts", "parameters, multiply-adds, operators", level1.status, level1.detail
    for run in report.parity:
        found = (
            f"{signed_text(run.difference, 3)} points, {run.interval.confidence:g} % interval "
            f"{span_text(run.interval.low, run.interval.high, 3)}, {run.images} images; {relative_miou(run)}"
        )
        claim = f"mIoU is kept within {run.margin:g} points on {run.target} {run.precision}"
        yield None, claim, "masks of every test image against the reference's", run.status, found
    yield (
        *(None, "Training-only parts cost no time", "latency of both networks, interleaved"),
        *(report.overhead.status, report.overhead.detail),
    )
    for engine in report.engines:
        if engine.not_run:
            claim = f"{engine.target} {engine.precision} gives the network's masks"
            yield None, claim, "masks of every test image", "not run here", engine.not_run


def relative_miou(run: Parity) -> str:
    """The engine's mIoU over the reference's, with the interval of the difference, as text."""
    if run.miou_reference <= 0:
        return "no ratio: the reference's mIoU is 0"
    middle, low, high = (
        100 * (1 + points / run.miou_reference) for points in (run.difference, run.interval.low, run.interval.high)
    )
    return f"{middle:.2f} % of the reference's mIoU [{low:.2f}, {high:.2f}]"
