"""A report in a few lines for a terminal."""

from pathlib import Path

from hardedge.contracts import LatencyComparison, Parity, PrecisionAudit, Report
from hardedge.deploy.engines.fp32_fallback import fallback_text
from hardedge.deploy.report.verdict_text import verdict_sentences
from hardedge.statistics.signed import signed_text, span_text


def summary_text(report: Report, out: Path) -> str:
    """The verdict first, then what it rests on, then where the report is."""
    certificate = report.certificate
    ran = [f"{engine.target} {engine.precision}" for engine in report.engines if not engine.not_run]
    unknown = [f"{engine.target} {engine.precision}" for engine in report.engines if engine.origin == "unknown"]
    lines = [
        "",
        *verdict_sentences(report),
        "",
        f"  network      {report.network.name}, trained with {report.loss}",
        f"  mIoU         {report.metrics.miou:.2f} % on the test split ({_worst(report)})",
        f"  identity     ONNX {certificate.level0.status}, engines {certificate.level0.rtx_engines.status}: "
        "the shipped network against the plain one",
        f"  overhead     {certificate.level2.status} ({certificate.level2.detail})",
        *(f"               noise floor {_ratio(floor)}" for floor in [certificate.level2.noise_floor] if floor),
        *(f"               with the branch {_ratio(control)}" for control in [certificate.level2.control] if control),
        *(f"  parity       {_parity(parity)}\n               {parity.detail}" for parity in report.parity),
        *(
            f"  latency      {run.target} {run.precision}: p50 {run.p50:.1f} ms at {run.size[0]}x{run.size[1]}"
            for run in report.latency
        ),
        *([f"  engines      {', '.join(ran)}"] if ran else []),
        *(
            [f"  origin       unknown of {', '.join(unknown)}: identity and overhead say nothing of it"]
            if unknown
            else []
        ),
        *(f"  healed       {each.target}: {fallback_text(each.healed)}" for each in report.engines if each.healed),
        *(f"  computes in  {_audit(audit)}" for audit in report.audits if audit.precision != "fp32"),
        *(f"  warning      {each}" for each in report.warnings or ()),
        *(f"  broken off   {lost}" for lost in report.broken_off),
        *(f"  gate         {gate.name} {gate.limit}: {gate.status} ({gate.found})" for gate in report.gates),
        "",
        f"Report: {out / 'report.html'}",
    ]
    return "\n".join(lines)


def _audit(audit: PrecisionAudit) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in audit.multiply_adds.items())
    return f"{audit.target} {audit.precision}: {shares} of the multiply-adds ({audit.source})"


def _worst(report: Report) -> str:
    scores = {name: score for name, score in report.metrics.per_class.items() if score is not None}
    if not scores:
        return "no class in any label"
    worst = min(scores, key=lambda name: scores[name])
    return f"lowest class: {worst} {scores[worst]:.2f} %"


def _ratio(comparison: LatencyComparison) -> str:
    interval = comparison.interval
    return f"{comparison.ratio:.3f} [{interval.low:.3f}, {interval.high:.3f}]: {comparison.status}"


def _parity(parity: Parity) -> str:
    interval = parity.interval
    return (
        f"{parity.target} {parity.precision}: {parity.status}, {signed_text(parity.difference, 3)} points "
        f"{span_text(interval.low, interval.high, 3)}, {100 * parity.pixel_agreement:.3f} % of the pixels agree"
    )
