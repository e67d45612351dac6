"""What a figure was measured on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from hardedge.deploy.machine import cpu_model, gpu_facts, installed_memory, usable_cores
from hardedge.deploy.targets import BACKENDS


def machine_facts() -> dict[str, str]:
    """CPU, cores, memory, system, Python, the versions that matter, and the GPU where one answers."""
    facts = {
        "cpu": cpu_model(),
        "cores": str(usable_cores()),
        "memory": installed_memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }
    return facts | {package: found for package in _packages() if (found := _version(package))} | gpu_facts()


def _packages() -> tuple[str, ...]:
    """The distributions that take part in a figure; a runtime's is its module, or its build for GPUs."""
    runtimes = (name for backend in BACKENDS for module in backend.modules for name in (module, f"{module}-gpu"))
    return tuple(dict.fromkeys(("numpy", "onnx", *runtimes, "polygraphy")))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
