"""The verdict in one sentence for whoever decides, what stands beside it, and how to decide what is open."""

from __future__ import annotations

from typing import Final

from hardedge.contracts import Gate, Report
from hardedge.deploy.report.findings import open_points

NUMBERS: Final = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def verdict_sentences(report: Report) -> list[str]:
    """The verdict and its reasons, then what was not run: a pass never hides it; then the command that decides."""
    return [_verdict(report), *_strange(report), *not_run_sentences(report), *_compared(report), *decisions(report)]


def _verdict(report: Report) -> str:
    reasons = "; ".join(open_points(report))
    if report.verdict == "fail":
        return f"FAIL: do not ship this. {_sentence(reasons)}"
    if report.verdict == "inconclusive":
        return f"INCONCLUSIVE: nothing failed, but not everything was decided. {_sentence(reasons)}"
    ran = ", ".join(dict.fromkeys(engine_name(run.target, run.precision) for run in report.parity))
    warned = len(report.warnings or ())
    look = f" Look at {warned} {'warning' if warned == 1 else 'warnings'} first." if warned else ""
    return f"PASS: safe to ship on {ran}.{look}"


def _strange(report: Report) -> list[str]:
    """What a pass does not say: whether an engine of unknown origin is of this network."""
    unknown = [engine_name(each.target, each.precision) for each in report.engines if each.origin == "unknown"]
    if report.verdict != "pass" or not unknown:
        return []
    return [f"Of {', '.join(unknown)} nobody knows which network was built: only masks were compared."]


def not_run_sentences(report: Report) -> list[str]:
    """How many engines were built for other devices and not run here; empty where all ran."""
    built = [engine_name(*engine) for engine in _not_run(report)]
    if not built:
        return []
    left_out = " They were left out of the limits, as --built-only asks." if report.built_only and report.gates else ""
    count = NUMBERS[len(built)] if len(built) < len(NUMBERS) else str(len(built))
    others = "engine built for another device" if len(built) == 1 else "engines built for other devices"
    return [f"{count} {others}, not run here: {', '.join(built)}.{left_out}"]


def _compared(report: Report) -> list[str]:
    """What was compared where the test images were not given."""
    if report.parity:
        return []
    golden = [f"{gate.found} ({gate.status})" for gate in report.gates if gate.name == "golden images"]
    return [f"Compared: the golden images of the bundle, {'; '.join(golden)}."] if golden else ["Compared: no masks."]


def decisions(report: Report) -> list[str]:
    """What to run, so that the verdict is decided; empty where it is."""
    if report.verdict != "inconclusive":
        return []
    commands: list[str] = []
    ran = len(report.engines) > len(_not_run(report))
    identity = (report.certificate.level0, report.certificate.level1)
    if not report.parity and ran:
        commands.append("give the test images: hardedge verify BUNDLE ENGINE ... --data DATA --out REPORT")
    if not ran or any("not run here" in gate.found for gate in _undecided(report)):
        commands.append("on the device that an engine is for: hardedge verify BUNDLE ENGINE --data DATA --out REPORT")
    if report.certificate.level0.plain_digest is not None and any(level.status != "identical" for level in identity):
        commands.append("compare with the plain network: hardedge certify BUNDLE CHECKPOINT")
    if any(run.status == "inconclusive" for run in report.parity):
        commands.append("add test images, or allow a larger --max-miou-drop, and run the same command again")
    if any(gate.name in ("--max-overhead", "--require") for gate in _undecided(report)):
        commands.append("on a quiet machine, the same command with --latency 2m")
    if report.broken_off or not commands:
        commands.append("run the same command again on a machine where nothing else runs")
    return [f"To decide: {command}" for command in dict.fromkeys(commands)]


def engine_name(target: str, precision: str) -> str:
    """An engine's target, with its precision where that is not FP32."""
    return target if precision == "fp32" else f"{target} in {precision}"


def _not_run(report: Report) -> list[tuple[str, str]]:
    """Target and precision of each engine without a run; earlier versions did not say why."""
    ran = {(run.target, run.precision) for run in report.parity}
    ran |= {(run.target, run.precision) for run in report.latency}
    every = ((engine, (engine.target, engine.precision)) for engine in report.engines)
    golden = not report.parity and any(gate.name == "golden images" for gate in report.gates)
    return [name for engine, name in every if engine.not_run or (name not in ran and not golden)]


def _undecided(report: Report) -> list[Gate]:
    return [gate for gate in report.gates if gate.status == "inconclusive"]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
