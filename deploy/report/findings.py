"""The top of the report: the verdict, and in one sentence each what was proven and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hardedge.contracts import Check, Latency, Level0, Level1, Level2, Parity, Report
from hardedge.pages.charts import interval_text
from hardedge.pages.markup import (
    TONES,
    Markup,
    Section,
    as_sentence,
    badge,
    html_table,
    note_line,
    number_text,
    section,
    signed_number,
    tag,
)

ASKED: Final = "--"  # how the name of a limit begins that somebody asked for; other checks always run
IDENTITY: Final = {
    "identical": "The shipped model is the plain network, operation for operation and weight for weight: "
    "nothing that was added for training is in it.",
    "different": "The shipped model is not the plain network that its weights give.",
    "not run here": "Whether the shipped model is the plain network was not established.",
}
ENGINES: Final = {
    "identical": "TensorRT-RTX compiles the shipped model and the plain network to the same bytes, for {count}.",
    "different": "TensorRT-RTX does not compile the shipped model and the plain network to the same bytes.",
    "not run here": "TensorRT-RTX engines of the shipped model and the plain network were not compared.",
}
LATENCY: Final = {
    "implied": "The training aids cost no time when the model runs: both arms are the same bytes.",
    "equivalent": "The shipped model runs as fast as the plain network, within ±1 %.",
    "different": "The shipped model does not run as fast as the plain network.",
    "inconclusive": "Whether the shipped model runs as fast as the plain network could not be decided.",
    "not run here": "The cost at run time was not measured.",
}
ACCURACY: Final = {
    "pass": "mIoU is kept: a loss of {margin} points or more is excluded on images like these.",
    "fail": "mIoU is not kept within {margin} points.",
    "inconclusive": "Whether mIoU is kept within {margin} points could not be decided.",
}


EXPORT: Final = "hardedge export CHECKPOINT --data DATA --out BUNDLE"
VERIFY: Final = "hardedge verify BUNDLE ENGINE --data DATA --out REPORT"
RTX: Final = "hardedge deploy BUNDLE --data DATA --target tensorrt-rtx:sm86 --out OUT, where tensorrt_rtx is installed"
NOT_COMPARED: Final = (
    "Masks were not compared with the reference's: that needs the test images and an engine that runs here."
)


def reference_of(report: Report) -> str:
    """Whose masks the targets' are compared with."""
    foreign = report.certificate.level0.plain_digest is None
    return "the file as it was given, in onnxruntime in FP32" if foreign else "the torch reference"


def findings_section(report: Report) -> Section:
    """What was proven and what was not, a sentence each; what is open with the command that decides it."""
    label = "What was proven, and what was not"
    return section("Checks", tag("ul", *findings_of(report), class_="findings", aria_label=label))


def worst_status(statuses: Sequence[str]) -> str:
    """The status that counts where there are several of a pass, a fail and an inconclusive."""
    return next(status for status in ("fail", "inconclusive", "pass") if status in statuses)


def open_points(report: Report) -> list[str]:
    """What made the verdict as it is, as `gates.verdict` counts it; empty for a pass."""
    if report.verdict == "pass":
        return []
    lost = [f"broken off while it ran: {each}" for each in report.broken_off if report.verdict == "inconclusive"]
    gates = [f"gate {gate.name} ({gate.limit}): {gate.found}" for gate in report.gates if gate.status == report.verdict]
    parities = [f"mIoU on {each.target} {each.precision}" for each in report.parity if each.status == report.verdict]
    return (
        lost
        + gates
        + parities
        + (difference_findings(report) if report.verdict == "fail" else undecided_findings(report))
    )


def difference_findings(report: Report) -> list[str]:
    level0, level1 = report.certificate.level0, report.certificate.level1
    statuses = {"graphs": level0.status, "engines": level0.rtx_engines.status, "census": level1.status}
    return [f"{name} of the two arms differ" for name, status in statuses.items() if status == "different"]


def undecided_findings(report: Report) -> list[str]:
    statuses = {"identity": report.certificate.level0.status, "census": report.certificate.level1.status}
    points = [f"{name} {status}" for name, status in statuses.items() if status != "identical"]
    return points if report.parity else [*points, "masks not compared with the reference's"]


def findings_of(report: Report) -> list[Markup]:
    level0 = report.certificate.level0
    engines = ENGINES.get(level0.rtx_engines.status, "").format(count=targets_counted(len(level0.engines)))
    rows = [
        finding_item("Identity", level0.status, IDENTITY.get(level0.status), level0.detail, EXPORT),
        finding_item("Engines", level0.rtx_engines.status, engines, level0.rtx_engines.detail, f"{EXPORT}; {RTX}"),
        *(
            finding_item(
                "Accuracy", each.status, accuracy(each), each.detail, f"{EXPORT} with more test images; {VERIFY}"
            )
            for each in report.parity
        ),
        finding_item(
            "Latency",
            report.overhead.status,
            LATENCY.get(report.overhead.status),
            sensitivity(report),
            f"{VERIFY} --latency 60s",
        ),
    ]
    if not report.parity:
        rows.insert(2, finding_item("Accuracy", "not run here", NOT_COMPARED, None, VERIFY))
    kept = "What was measured before is in the report."
    rows += [finding_item("Broken off", "fail", f"{each}.", kept) for each in report.broken_off]
    rows += [finding_item("Look at", "inconclusive", f"{each}.", None) for each in report.warnings or ()]
    if unrun := not_run(report):
        sentence = f"Built, but not executed on this machine: {', '.join(unrun)}."
        rows.append(finding_item("Targets", "not run here", sentence, None, f"{VERIFY}, on each device"))
    return [*rows, finding_of_gates(report)]


def finding_item(
    name: str, status: str, sentence: str | None, detail: str | None, decides: str | None = None
) -> Markup:
    """A finding; `decides` is shown where the status leaves it open."""
    extra = tag("span", " ", as_sentence(detail), class_="note") if detail else None
    open_now = decides and TONES[status] in ("open", "none")
    command = tag("span", "Decided by: ", tag("code", decides), class_="decides") if open_now else None
    return tag("li", tag("b", name), badge(status), tag("p", sentence or None, extra, command))


def finding_of_gates(report: Report) -> Markup:
    if not report.gates:
        return tag("li", tag("b", "Gates"), badge("none set", "none"), tag("p", "No limit was asked for."))
    statuses = [gate.status for gate in report.gates]
    asked = [gate.status for gate in report.gates if gate.name.startswith(ASKED)]
    always = [gate.status for gate in report.gates if not gate.name.startswith(ASKED)]
    held = f"{asked.count('pass')} of {len(asked)} limits that were asked for hold."
    ran = f" {always.count('pass')} of {len(always)} checks that always run hold." if always else ""
    sentence = (held if asked else "No limit was asked for.") + ran
    return finding_item("Gates", worst_status(statuses), sentence, None)


def accuracy(parity: Parity) -> str:
    start = f"On {parity.target} ({parity.precision}) "
    low, high = signed_number(parity.interval.low), signed_number(parity.interval.high)
    numbers = (
        f" {number_text(parity.miou, 2, '%')} against {number_text(parity.miou_reference, 2, '%')}, difference "
        f"{signed_number(parity.difference)} points, {parity.interval.confidence:g} % interval [{low}, {high}], "
        f"{parity.images} images."
    )
    return start + ACCURACY[parity.status].format(margin=number_text(parity.margin)) + numbers


def sensitivity(report: Report) -> str | None:
    """What the positive control says about this machine's power to see a branch."""
    control = report.certificate.level2.control
    if control is None:
        return "No positive control was measured."
    if control.status == "different":
        return f"This machine can see a branch: the positive control came out at {interval_text(control)}."
    return f"This machine is too noisy to see a branch: the positive control came out {control.status}."


def not_run(report: Report) -> list[str]:
    """Targets of engines that were built and never executed here."""
    runs: tuple[Parity | Latency, ...] = (*report.parity, *report.latency)
    ran = {(run.target, run.precision) for run in runs}
    return [
        f"{engine.target} ({engine.precision})"
        for engine in report.engines
        if (engine.target, engine.precision) not in ran
    ]


def targets_counted(count: int) -> str:
    return "1 target" if count == 1 else f"{count} targets"


def not_run_section(report: Report) -> Section:
    """Every engine and check that did not run on this machine, with the reason and the command that decides it."""
    engines = not_run(report)
    reasons = {f"{each.target} ({each.precision})": each.not_run for each in report.engines if each.not_run}
    rows = [
        (name, reasons.get(name) or "built for another device", tag("code", f"{VERIFY}, on that device"))
        for name in engines
    ]
    levels = report.certificate
    checks: dict[str, tuple[Check | Level0 | Level1 | Level2, str]] = {
        "identity of the graph": (levels.level0, EXPORT),
        "identity of the engines": (levels.level0.rtx_engines, RTX),
        "identity of the census": (levels.level1, EXPORT),
        "cost of the training aids": (levels.level2, f"{VERIFY} --latency 60s"),
    }
    rows += [
        (name, as_sentence(check.detail) or "not measured", tag("code", command))
        for name, (check, command) in checks.items()
        if check.status == "not run here"
    ]
    if not rows:
        return section("Not run here", note_line("Everything that was built ran here, and every check was made."))
    table = html_table("What this machine left open", ("what", "why", "decided by"), rows)
    return section("Not run here", tag("div", table, class_="wrapped"))
