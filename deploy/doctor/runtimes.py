"""Runtimes without obstacles of their own: whether each is installed and loads."""

from __future__ import annotations

from typing import Final

from hardedge.contracts import Engine
from hardedge.deploy.doctor.finding import MachineFinding, Status
from hardedge.deploy.doctor.machine_description import MachineDescription
from hardedge.deploy.targets import BACKENDS, parse_target

# looked at in modules of their own
_ELSEWHERE: Final = ("onnxruntime", "tensorrt", "tensorrt_rtx")


def runtime_findings(machine: MachineDescription, engine: Engine | None) -> list[MachineFinding]:
    """The version of each runtime that is installed; an obstacle where it does not load, or an engine lacks it."""
    findings = []
    for backend in BACKENDS:
        needed = engine is not None and parse_target(engine.target).backend == backend.name
        for module, package in backend.modules.items():
            imported = machine.imports.get(module)
            if module in _ELSEWHERE or (imported is None and not needed):
                continue
            status: Status = "obstacle"
            fix: str | None = f"pip install {package}"
            if imported is None:
                found = f"{module} is not installed"
            elif imported.error:
                found, fix = f"{module} is installed and does not load: {imported.error}", f"{fix} --force-reinstall"
            else:
                found, status, fix = f"{module} {imported.version}", "ok", None
            findings.append(MachineFinding(topic=backend.name, status=status, found=found, fix=fix))
    return findings
