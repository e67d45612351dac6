"""The checks of a report as JUnit XML, for the test panes of CI systems."""

from collections.abc import Iterator
from xml.etree import ElementTree

from hardedge.contracts import Gate, Report
from hardedge.names import visible

FAILED = ("different", "fail")
UNDECIDED = ("inconclusive", "not run here")


def report_junit(report: Report) -> str:
    """One test case a check: failed, skipped where it was not decided, else passed; an undecided gate is a failure."""
    cases = [_case(*check) for check in _checks(report)]
    cases += [_gate_case(gate) for gate in report.gates]
    suite = ElementTree.Element(
        "testsuite",
        name=f"hardedge verify {report.network.name}",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        errors="0",
        timestamp=report.created,
    )
    suite.extend(cases)
    if report.warnings:
        ElementTree.SubElement(suite, "system-out").text = "\n".join(f"warning: {each}" for each in report.warnings)
    ElementTree.indent(suite)
    # XML has no way to write a control character
    return visible(ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)) + "\n"


def _checks(report: Report) -> Iterator[tuple[str, str, str, str]]:
    level0, level1, level2 = report.certificate.level0, report.certificate.level1, report.certificate.level2
    yield "certificate", "level0", level0.status, level0.detail
    yield "certificate", "level0 engines", level0.rtx_engines.status, level0.rtx_engines.detail
    yield "certificate", "level1", level1.status, level1.detail
    yield "certificate", "level2", level2.status, level2.detail
    for run in report.parity:
        yield "parity", f"{run.target} {run.precision}", run.status, run.detail
    for lost in report.broken_off:
        yield "engines", lost.split(":")[0], "fail", f"broken off: {lost}"


def _case(group: str, name: str, status: str, detail: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"hardedge.{group}", name=name)
    if status in FAILED:
        ElementTree.SubElement(case, "failure", message=detail)
    elif status in UNDECIDED:
        ElementTree.SubElement(case, "skipped", message=detail)
    return case


def _gate_case(gate: Gate) -> ElementTree.Element:
    """A gate, with the user's requirement ID as a property where there is one."""
    status = "fail" if gate.status == "inconclusive" else gate.status
    case = _case("gates", f"{gate.name} {gate.limit}", status, f"{gate.status}: {gate.found}")
    if gate.requirement:
        properties = ElementTree.Element("properties")
        ElementTree.SubElement(properties, "property", name="requirement", value=gate.requirement)
        case.insert(0, properties)
    return case
