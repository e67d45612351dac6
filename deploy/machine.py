"""This machine's processor, memory and GPU, as /proc and nvidia-smi tell them."""

import os
import platform
import subprocess
from pathlib import Path


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
    found = _query_gpu("compute_cap")
    return f"sm{found.replace('.', '')}" if found else None


def gpu_name() -> str | None:
    """The first GPU's name and compute capability; None where no GPU answers."""
    return _query_gpu("name,compute_cap")


def resident_memory() -> int | None:
    """The bytes of memory that this process holds; None where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def gpu_memory() -> int | None:
    """The bytes in use on the first GPU, by all processes; None where no GPU answers."""
    found = _query_gpu("memory.used")
    return int(found.split()[0]) << 20 if found and found.split()[0].isdigit() else None


def installed_memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError):
        return "unknown"


def gpu_facts() -> dict[str, str]:
    """The first GPU's name and driver, and how it was clocked; says so where none answers."""
    facts = {"gpu": _query_gpu("name,driver_version") or "none answers"}
    clocks = _query_gpu("clocks.sm,power.draw,clocks_throttle_reasons.active")
    return facts | ({"gpu clock, power, throttle reasons": clocks} if clocks else {})


def run_nvidia_smi(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What nvidia-smi answers; status 127, and why, where it cannot be run."""
    command = ["nvidia-smi", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        said = "nvidia-smi: not found" if isinstance(error, FileNotFoundError) else f"nvidia-smi: {error}"
        return subprocess.CompletedProcess(command, 127, "", said)


def _query_gpu(fields: str) -> str | None:
    answer = run_nvidia_smi(f"--query-gpu={fields}", "--format=csv,noheader")
    return answer.stdout.splitlines()[0].strip() if answer.returncode == 0 and answer.stdout.strip() else None
