"""What a machine has that engines need: every fact that `hardedge doctor` reasons about, gathered once."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from hardedge.child_process import run_child
from hardedge.contracts import Contract
from hardedge.deploy.machine import run_nvidia_smi
from hardedge.deploy.targets import BACKENDS

# whatever of these is installed is told: by distribution, in any spelling of - and _
PACKAGES: Final = re.compile(
    r"(hardedge|numpy|onnx|polygraphy|tensorrt.*|onnxruntime.*|openvino|cuda-(python|bindings|core)|torch|av|cryptography)"
)
MODULES: Final = (*(module for backend in BACKENDS for module in backend.modules), "cuda.bindings.runtime")
JETPACK_OF_L4T: Final = {35: "5", 36: "6", 38: "7", 39: "7"}
_NVIDIA: Final = "0x10de"
SECONDS: Final = 60  # that an import may take


@dataclass(frozen=True, kw_only=True)
class Gpu(Contract):
    """One GPU as the driver names it; its compute capability as 8.9, its memory in MiB, null where it is not told."""

    name: str
    capability: str | None
    memory: int | None


@dataclass(frozen=True, kw_only=True)
class Imported(Contract):
    """What came of importing a module: the version it says, or the error."""

    version: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class MachineDescription(Contract):
    """A machine: what `hardedge doctor --json` tells under `machine`, and all that a diagnosis rests on.

    `jetson` is the board's model and `l4t` its release (36.4.3), null elsewhere. `pci` says whether an NVIDIA device is
    on the bus, null where there is no bus to look at; `driver_fault` is what nvidia-smi said instead of an answer;
    `cuda` is the newest CUDA that the driver knows, `cuda_libraries` the one whose libraries are installed, and
    `onnxruntime_cuda` the one that onnxruntime-gpu was built for. `packages` are versions by distribution.

    `nvmap` says whether a Jetson's GPU is among the devices, `render` whether this user may open its render node, null
    without one. `writable` is about the working directory; `shared_memory` is the size of /dev/shm in MiB.
    """

    system: str
    processor: str
    python: str
    container: bool
    jetson: str | None
    l4t: str | None
    pci: bool | None
    driver: str | None
    driver_fault: str | None
    cuda: str | None
    cuda_libraries: str | None
    onnxruntime_cuda: str | None
    nvmap: bool
    render: bool | None
    writable: bool
    shared_memory: int | None
    gpus: tuple[Gpu, ...]
    packages: dict[str, str]
    imports: dict[str, Imported]
    providers: tuple[str, ...]

    @property
    def tegra(self) -> bool:
        """Whether this is a Jetson; in a container its kernel alone tells."""
        return bool(self.l4t or self.jetson) or self.system.endswith("-tegra")

    @property
    def jetpack(self) -> str | None:
        """The major version of JetPack; None where it is not known."""
        return JETPACK_OF_L4T.get(int(self.l4t.split(".")[0])) if self.l4t else None


def describe_machine(root: Path = Path("/")) -> MachineDescription:
    """This machine; `root` is where /proc, /sys and /etc are looked for. Never raises for what a machine lacks."""
    found = query_gpus()
    imports, providers = import_all()
    return MachineDescription(
        system=f"{platform.system()} {platform.release()}",
        processor=platform.machine(),
        python=platform.python_version(),
        container=in_container(root),
        jetson=jetson_model(root),
        l4t=l4t_release(root),
        pci=on_the_bus(root),
        driver=found.driver,
        driver_fault=found.fault,
        cuda=cuda_of_the_driver() if found.driver else None,
        cuda_libraries=cuda_libraries(root),
        onnxruntime_cuda=onnxruntime_cuda(),
        nvmap=(root / "dev/nvmap").exists(),
        render=may_render(root),
        writable=os.access(Path.cwd(), os.W_OK),
        shared_memory=shutil.disk_usage(root / "dev/shm").total >> 20 if (root / "dev/shm").is_dir() else None,
        gpus=found.gpus,
        packages=installed_versions(),
        imports=imports,
        providers=providers,
    )


@dataclass(frozen=True)
class Answer:
    """What nvidia-smi said: GPUs and the driver's version, or why there are none."""

    gpus: tuple[Gpu, ...]
    driver: str | None
    fault: str | None


def query_gpus() -> Answer:
    """The GPUs that nvidia-smi lists; drivers that do not know `compute_cap` are asked without it."""
    answer = run_nvidia_smi("--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader,nounits")
    if "compute_cap" in answer.stdout + answer.stderr:
        answer = run_nvidia_smi("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    rows = [row for row in rows if len(row) >= 3]
    if answer.returncode != 0 or not rows:
        said = (answer.stderr.strip() or answer.stdout.strip() or "no GPU listed").splitlines()
        return Answer((), None, said[0])
    return Answer(tuple(_gpu(row) for row in rows), rows[0][2], None)


def _gpu(row: list[str]) -> Gpu:
    capability = row[3] if len(row) > 3 and re.fullmatch(r"\d+\.\d+", row[3]) else None
    return Gpu(name=row[0], capability=capability, memory=int(row[1]) if row[1].isdigit() else None)


def cuda_of_the_driver() -> str | None:
    """The newest CUDA version that the driver knows, from nvidia-smi's head; None where it does not tell."""
    match = re.search(r"CUDA Version:\s*(\d+\.\d+)", run_nvidia_smi().stdout)
    return match[1] if match else None


def jetson_model(root: Path) -> str | None:
    """The board's model where it is a Jetson: `NVIDIA Jetson Orin Nano Developer Kit`."""
    text = _text(root / "proc/device-tree/model")
    return text if text and "jetson" in text.lower() else None


def l4t_release(root: Path) -> str | None:
    """The release of Jetson Linux, 36.4.3; None where there is none."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release") or "")
    return f"{match[1]}.{match[2]}" if match else None


def on_the_bus(root: Path) -> bool | None:
    """Whether a display device of NVIDIA is on the PCI bus."""
    bus = root / "sys/bus/pci/devices"
    if not bus.is_dir():
        return None
    # class 0x03....: display controllers; the vendor's audio and network devices are others
    return any(
        _text(device / "vendor") == _NVIDIA and (_text(device / "class") or "").startswith("0x03")
        for device in bus.iterdir()
    )


def in_container(root: Path) -> bool:
    """Whether docker or podman runs this; podman's file is out of sight where the root is read-only."""
    marks = (root / ".dockerenv", root / "run/.containerenv")
    return any(mark.exists() for mark in marks) or "container" in os.environ


def cuda_libraries(root: Path) -> str | None:
    """The version of the CUDA that is installed, as NVIDIA's packages and images tell it."""
    match = re.search(
        r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)"', _text(root / "usr/local/cuda/version.json") or ""
    )
    return match[1] if match else os.environ.get("CUDA_VERSION")


def onnxruntime_cuda() -> str | None:
    """The CUDA version that onnxruntime-gpu was built for, read without importing it."""
    found = importlib.util.find_spec("onnxruntime") if _is_there("onnxruntime") else None
    if found is None or found.origin is None:
        return None
    told = _text(Path(found.origin).parent / "capi/build_and_package_info.py") or ""
    match = re.search(r"""^cuda_version = ["']([\d.]+)["']""", told, re.MULTILINE)
    return match[1] if match else None


def may_render(root: Path) -> bool | None:
    """Whether this user may open the render node of the GPU; None without one."""
    node = root / "dev/dri/renderD128"
    return os.access(node, os.R_OK | os.W_OK) if node.exists() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip().rstrip("\x00")
    except OSError:
        return None


def installed_versions() -> dict[str, str]:
    """The versions of the packages that matter, by distribution."""
    found = {(each.metadata["Name"] or "").replace("_", "-").lower(): each.version for each in distributions()}
    return {name: found[name] for name in sorted(found) if PACKAGES.fullmatch(name)}


def import_all() -> tuple[dict[str, Imported], tuple[str, ...]]:
    """Imports each native module that is there, each in a process of its own, since a broken one may crash.

    Returns what came of each, and onnxruntime's providers.
    """
    there = [name for name in MODULES if _is_there(name)]
    if not there:
        return {}, ()
    # not in the user's directory, where a file could stand for a module
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder, ThreadPoolExecutor(len(there)) as threads:
        answers = dict(zip(there, threads.map(lambda name: _import_apart(name, Path(folder)), there), strict=True))
    imports = {name: imported for name, (imported, _) in answers.items()}
    return imports, answers["onnxruntime"][1] if "onnxruntime" in answers else ()


def _import_apart(name: str, folder: Path) -> tuple[Imported, tuple[str, ...]]:
    done = run_child("hardedge.deploy.doctor.import_process", name, folder=folder, seconds=SECONDS)
    if done.timed_out:
        return Imported(version=None, error="the import did not end within a minute"), ()
    if done.status < 0:
        return Imported(version=None, error=f"the import was ended by signal {-done.status}"), ()
    if done.status:
        return Imported(version=None, error=(done.errors.strip() or "no reason given").splitlines()[-1]), ()
    told = json.loads(done.output.splitlines()[-1])
    return Imported(version=told["version"], error=None), tuple(told["providers"])


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
