"""`hardedge doctor`: what keeps an engine from running on a machine, and the command that fixes it.

A diagnosis is a pure function of a machine's description, so it is tested on machines that are not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hardedge.contracts import Bundle, Contract, Engine, load
from hardedge.deploy.doctor.containers import container_findings
from hardedge.deploy.doctor.finding import MachineFinding
from hardedge.deploy.doctor.machine_description import MachineDescription
from hardedge.deploy.doctor.obstacles import (
    capability_findings,
    cuda_findings,
    extra_findings,
    gpu_findings,
    tensorrt_findings,
)
from hardedge.deploy.doctor.onnxruntime_obstacles import onnxruntime_findings
from hardedge.deploy.doctor.runtimes import runtime_findings
from hardedge.deploy.targets import backend_of, parse_target
from hardedge.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Contract):
    """What was found on a machine, for an engine or for none."""

    engine: str | None
    findings: tuple[MachineFinding, ...]
    machine: MachineDescription

    @property
    def obstacles(self) -> tuple[MachineFinding, ...]:
        return tuple(finding for finding in self.findings if finding.status == "obstacle")


def diagnose(machine: MachineDescription, engine: Engine | None = None) -> Diagnosis:
    """Everything that keeps this engine from running there; without one, what is broken and what could run."""
    findings = [
        *container_findings(machine),
        *gpu_findings(machine, engine),
        *cuda_findings(machine),
        *tensorrt_findings(machine, engine),
        *capability_findings(machine, engine),
        *onnxruntime_findings(machine, engine),
        *runtime_findings(machine, engine),
        *extra_findings(machine),
    ]
    told = tuple(_for_engine(finding, engine) for finding in findings)
    return Diagnosis(engine=engine.target if engine else None, findings=told, machine=machine)


def _for_engine(finding: MachineFinding, engine: Engine | None) -> MachineFinding:
    """An obstacle that keeps other engines from running, not this one, is a note."""
    if engine is None or finding.status != "obstacle":
        return finding
    without = backend_of(engine.target).unconcerned[parse_target(engine.target).device]
    return replace(finding, status="note") if finding.topic in without else finding


def engine_in(directory: Path | None) -> Engine | None:
    """The engine of a directory; None for a bundle, which onnxruntime runs. Raises BadInput for anything else."""
    if directory is None:
        return None
    if (directory / Engine.FILE).is_file():
        return load(Engine, directory)
    if (directory / Bundle.FILE).is_file():
        load(Bundle, directory)
        return None
    raise BadInput(f"{directory} holds neither {Engine.FILE} nor {Bundle.FILE}. Give a bundle or an engine.")


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The findings as text, obstacles last, each with its fix."""
    marks = {"ok": "ok      ", "note": "note    ", "obstacle": "OBSTACLE"}
    order = sorted(diagnosis.findings, key=lambda finding: list(marks).index(finding.status))
    lines = []
    for finding in order:
        lines.append(f"{marks[finding.status]}  {finding.topic}: {finding.found}")
        lines += [f"            {finding.fix}"] if finding.fix else []
    count = len(diagnosis.obstacles)
    runs = f"{diagnosis.engine} " if diagnosis.engine else "what is installed "
    end = f"{count} obstacle{'s' if count != 1 else ''}" if count else f"Nothing keeps {runs}from running here"
    return "\n".join([*lines, f"{end}."])
