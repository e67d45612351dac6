"""A report as Markdown, for the summary page of a CI run: `cat report/summary.md >> $GITHUB_STEP_SUMMARY`."""

from collections.abc import Iterator

from hardedge.contracts import Report
from hardedge.names import visible
from hardedge.statistics.signed import signed_text, span_text

SIGNS = {"pass": "✅", "identical": "✅", "equivalent": "✅", "implied": "✅", "fail": "❌", "different": "❌"}
UNDECIDED = "❔"
_ESCAPED = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;", "`": r"\`", "*": r"\*", "_": r"\_", "\n": " "})


def report_markdown(report: Report) -> str:
    """The verdict, every check with its status, and the latencies; nothing from the data is read as markup."""
    title = f"## {_sign(report.verdict)} hardedge: {report.verdict.upper()}"
    lines = [
        title,
        "",
        f"{_text(report.network.name)} on {_text(report.data)}, mIoU {report.metrics.miou:.2f} %",
        "",
        *_table(("check", "status", "found"), _checks(report)),
    ]
    if report.warnings:
        lines += ["", *(f"- ⚠️ {_text(each)}" for each in report.warnings)]
    if report.latency:
        lines += ["", *_table(("target", "image", "p50", "p90", "p99"), _latencies(report))]
    made = f"{report.machine.get('cpu', 'unknown CPU')}, GPU {report.machine.get('gpu', 'unknown')}, {report.created}"
    return "\n".join([*lines, "", f"Measured on {_text(made)}; the whole report is in report.html.", ""])


def _checks(report: Report) -> Iterator[tuple[str, str, str]]:
    for gate in report.gates:
        yield f"gate {gate.name} {gate.limit}", gate.status, gate.found
    for lost in report.broken_off:
        yield "broken off while it ran", "fail", lost
    certificate = report.certificate
    yield "identity: ONNX", certificate.level0.status, certificate.level0.detail
    yield "identity: engines", certificate.level0.rtx_engines.status, certificate.level0.rtx_engines.detail
    yield "identity: census", certificate.level1.status, certificate.level1.detail
    yield "latency", certificate.level2.status, certificate.level2.detail
    for run in report.parity:
        low, high = run.interval.low, run.interval.high
        found = (
            f"{signed_text(run.difference, 3)} points {span_text(low, high, 3)}, margin {run.margin:g}; {run.detail}"
        )
        yield f"parity: {run.target} {run.precision}", run.status, found


def _latencies(report: Report) -> Iterator[tuple[str, ...]]:
    for run in report.latency:
        times = (f"{value:.2f} ms" for value in run.percentiles.values())
        yield f"{run.target} {run.precision}", f"{run.size[0]}x{run.size[1]}", *times


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        cells = (
            f"{_sign(cell)} {cell}" if name == "status" else _text(cell) for name, cell in zip(head, row, strict=True)
        )
        yield f"| {' | '.join(cells)} |"


def _sign(status: str) -> str:
    return SIGNS.get(status, UNDECIDED)


def _text(value: str) -> str:
    return visible(value).translate(_ESCAPED)
