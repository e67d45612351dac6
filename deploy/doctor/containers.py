"""What a container was not given: a Jetson's GPU and release, a directory to write to, shared memory."""

from __future__ import annotations

from typing import Final

from hardedge.deploy.doctor.finding import MachineFinding
from hardedge.deploy.doctor.machine_description import MachineDescription

JETSON_BASE: Final = "docker build --target edge --build-arg EDGE_BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel ."
JETSON_RUN: Final = "docker run --runtime nvidia ..."
RENDER: Final = "docker run --runtime nvidia --group-add $(stat -c %g /dev/dri/renderD128) ..."
RELEASE: Final = "docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro ..."
USER: Final = "docker run --user $(id -u):$(id -g) -v $PWD:/work ..."
SHARED_MEMORY: Final = "docker run --shm-size 8g ..."
ENOUGH: Final = 1024  # MiB: the recipes' workers need more than the 64 of a container's default


def container_findings(machine: MachineDescription) -> list[MachineFinding]:
    """What to start the container with; nothing outside of one."""
    if not machine.container:
        return []
    return [*_jetson(machine), *_directory(machine), *_shared_memory(machine)]


def _jetson(machine: MachineDescription) -> list[MachineFinding]:
    if not machine.tegra:
        return []
    findings = []
    if not machine.nvmap:
        found = "a Jetson, but this container was not given its GPU and its libraries"
        findings.append(MachineFinding(topic="gpu", status="obstacle", found=found, fix=JETSON_RUN))
    elif machine.render is False:
        found = "this user may not open the GPU (/dev/dri/renderD128): it belongs to a group of the host"
        findings.append(MachineFinding(topic="gpu", status="obstacle", found=found, fix=RENDER))
    if machine.l4t is None:
        found = "a Jetson, but its release is not known in this container"
        findings.append(MachineFinding(topic="jetpack", status="note", found=found, fix=RELEASE))
    return findings


def _directory(machine: MachineDescription) -> list[MachineFinding]:
    if machine.writable:
        return []
    found = "this user may not write to the working directory"
    return [MachineFinding(topic="directory", status="note", found=found, fix=USER)]


def _shared_memory(machine: MachineDescription) -> list[MachineFinding]:
    if "torch" not in machine.packages or machine.shared_memory is None or machine.shared_memory >= ENOUGH:
        return []
    found = f"/dev/shm has {machine.shared_memory} MiB: too little for recipes with workers"
    return [MachineFinding(topic="shared memory", status="note", found=found, fix=SHARED_MEMORY)]
