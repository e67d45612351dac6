"""What a figure was measured on."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt_rtx", "openvino", "polygraphy")


def machine() -> dict[str, str]:
    """CPU, cores, memory, system, Python, the versions that matter, and the GPU where one answers."""
    facts = {
        "cpu": cpu_model(),
        "cores": str(usable_cores()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }
    facts |= {package: found for package in _PACKAGES if (found := _version(package))}
    facts["gpu"] = _nvidia_smi("name,driver_version") or "none answers"
    clocks = _nvidia_smi("clocks.sm,power.draw,clocks_throttle_reasons.active")
    return facts | ({"gpu clock, power, throttle reasons": clocks} if clocks else {})


def cpu_model() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute_capability() -> str | None:
    """The first GPU's compute capability as in a target's name (sm86); None where no GPU answers."""
    found = _nvidia_smi("compute_cap")
    return f"sm{found.replace('.', '')}" if found else None


def gpu_name() -> str | None:
    """The first GPU's name and compute capability; None where no GPU answers."""
    return _nvidia_smi("name,compute_cap")


def resident_memory() -> int | None:
    """The bytes of memory that this process holds; None where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def gpu_memory() -> int | None:
    """The bytes in use on the first GPU, by all processes; None where no GPU answers."""
    found = _nvidia_smi("memory.used")
    return int(found.split()[0]) << 20 if found and found.split()[0].isdigit() else None


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError):
        return "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _nvidia_smi(fields: str) -> str | None:
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.splitlines()[0].strip() if answer.strip() else None
