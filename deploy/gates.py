"""Gates: the limits that a user asks for, and the verdict over everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hardedge.contracts import Certificate, Gate, Overhead, Parity, Verdict

Require = Literal["level0", "level0-engines"]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Limits: mIoU drop in points, latency overhead in percent, and the certificate's level that must be identical."""

    max_miou_drop: float | None = None
    max_overhead: float | None = None
    require: Require | None = None


def judge(gates: Gates, certificate: Certificate, parity: Sequence[Parity], overhead: Overhead) -> tuple[Gate, ...]:
    """Every gate that was asked for, judged by the bounds of what was measured."""
    judged: list[Gate] = []
    if gates.max_miou_drop is not None:
        judged += miou_gates(gates.max_miou_drop, parity)
    if gates.max_overhead is not None:
        judged.append(overhead_gate(gates.max_overhead, certificate, overhead))
    if gates.require is not None:
        judged.append(identity_gate(gates.require, certificate))
    return tuple(judged)


def miou_gates(limit: float, parity: Sequence[Parity]) -> list[Gate]:
    """One gate a target that ran: the interval's lower end must not lie below -limit."""
    said = f"at most {limit:g} points"
    if not parity:
        found = "not measured: no engine was run on the test images"
        return [Gate(name="--max-miou-drop", limit=said, found=found, status="inconclusive")]
    gates = []
    for run in parity:
        low, high = run.interval.low, run.interval.high
        status: Verdict = "pass" if low >= -limit else "fail" if high < -limit else "inconclusive"
        found = f"{run.target} {run.precision}: {run.difference:+.3f} points, 90 % interval [{low:+.3f}, {high:+.3f}]"
        gates.append(Gate(name="--max-miou-drop", limit=said, found=found, status=status))
    return gates


def overhead_gate(limit: float, certificate: Certificate, overhead: Overhead) -> Gate:
    """Level 0 identical satisfies it; else the ratio's interval must lie below 1 + limit."""
    name, said = "--max-overhead", f"at most {limit:g} %"
    if certificate.level0.status == "identical":
        return Gate(name=name, limit=said, found="none: implied by level 0, the same bytes", status="pass")
    if overhead.ratio is None or overhead.interval is None:
        return Gate(name=name, limit=said, found=f"not measured: {overhead.detail}", status="inconclusive")
    low, high = (100 * (end - 1) for end in (overhead.interval.low, overhead.interval.high))
    status: Verdict = "pass" if high <= limit else "fail" if low > limit else "inconclusive"
    found = f"{100 * (overhead.ratio - 1):+.2f} %, 90 % interval [{low:+.2f}, {high:+.2f}]"
    return Gate(name=name, limit=said, found=found, status=status)


def identity_gate(require: Require, certificate: Certificate) -> Gate:
    """Equal ONNX digests; for level0-engines equal TensorRT-RTX engines too."""
    level0, engines = certificate.level0, certificate.level0.rtx_engines
    statuses = [level0.status] if require == "level0" else [level0.status, engines.status]
    found = f"ONNX {level0.status}" if require == "level0" else f"ONNX {level0.status}, engines {engines.status}"
    status: Verdict = "pass" if all(found == "identical" for found in statuses) else "inconclusive"
    if "different" in statuses:
        status = "fail"
    detail = level0.detail if require == "level0" or level0.status != "identical" else engines.detail
    return Gate(name="--require", limit=require, found=f"{found} ({detail})", status=status)


def verdict(certificate: Certificate, parity: Sequence[Parity], gates: Sequence[Gate]) -> Verdict:
    """`fail` when a gate or a parity fails or levels 0 or 1 differ, `inconclusive` when one was not decided."""
    levels = (certificate.level0.status, certificate.level1.status)
    judged = [*(run.status for run in parity), *(gate.status for gate in gates)]
    if "fail" in judged or "different" in levels or certificate.level0.rtx_engines.status == "different":
        return "fail"
    undecided = not parity or "inconclusive" in judged or any(status != "identical" for status in levels)
    return "inconclusive" if undecided else "pass"
