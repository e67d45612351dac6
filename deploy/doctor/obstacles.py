"""What can keep an engine from running on a machine: one function a subject, each from facts to findings."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

from hardedge.contracts import Engine
from hardedge.deploy.doctor.containers import JETSON_BASE, JETSON_RUN
from hardedge.deploy.doctor.finding import DEPLOY, MachineFinding, Status, numbers
from hardedge.deploy.doctor.machine_description import MachineDescription
from hardedge.deploy.targets import KNOWN, on_nvidia, parse_target
from hardedge.deploy.tensorrt.api import MODULES
from hardedge.deploy.tensorrt.versions import loads_plan

# the oldest Linux driver of each CUDA major (NVIDIA's CUDA release notes, table of minor version compatibility)
DRIVER_OF_CUDA: Final = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
OLDEST_CAPABILITY: Final = "7.5"  # Turing: the oldest that TensorRT 10.16, 11 and RTX build for
JETSON_CAPABILITY: Final = {"xavier": "7.2", "orin": "8.7", "thor": "11.0"}
CUDA_OF_JETPACK: Final = {"5": 11, "6": 12, "7": 13}
CUDA_PYTHON: Final = (12, 13)  # the majors of cuda-python that have what runtime.py uses
PYTHON_OF_JETPACK: Final = {"5": "3.8", "6": "3.10", "7": "3.12"}
_INSTALL_DRIVER: Final = "sudo apt-get install nvidia-driver-580 && sudo reboot"  # runs CUDA 11 to 13
EXTRAS: Final = {"av": ("video", "predict on video files and cameras"), "cryptography": ("sign", "sign, and --trust")}


def gpu_findings(machine: MachineDescription, engine: Engine | None) -> list[MachineFinding]:
    """The GPU, its driver, and on a Jetson its JetPack."""
    needed = _needs_gpu(engine)
    if machine.l4t:
        return _jetson_findings(machine)
    if machine.tegra and machine.container:
        return []  # containers.py says what it was not given
    if machine.gpus:
        return [MachineFinding(topic="gpu", status="ok", found=f"{_gpus(machine)}, driver {machine.driver}")]
    said = machine.driver_fault or "nvidia-smi lists no GPU"
    if "mismatch" in said:
        return [MachineFinding(topic="driver", status="obstacle", found=f"{said}: it was updated", fix="sudo reboot")]
    if machine.pci and machine.container:
        found = f"an NVIDIA GPU is on the bus, but this container was not given it ({said})"
        return [MachineFinding(topic="driver", status="obstacle", found=found, fix="docker run --gpus all ...")]
    if machine.pci:
        found = f"an NVIDIA GPU is on the bus, but no driver answers ({said})"
        return [MachineFinding(topic="driver", status="obstacle", found=found, fix=_INSTALL_DRIVER)]
    found = "no NVIDIA GPU here: onnxruntime:cpu runs, and TensorRT-RTX builds ahead of time"
    if not needed:
        return [MachineFinding(topic="gpu", status="note", found=found)]
    return [MachineFinding(topic="gpu", status="obstacle", found=found, fix=f"{DEPLOY} onnxruntime:cpu")]


def _jetson_findings(machine: MachineDescription) -> list[MachineFinding]:
    jetpack = machine.jetpack
    if jetpack is None:
        found = f"Jetson Linux {machine.l4t}, which no JetPack that is known here has"
        return [MachineFinding(topic="jetpack", status="note", found=found)]
    found = f"{machine.jetson or 'Jetson'}, JetPack {jetpack} (Jetson Linux {machine.l4t})"
    if jetpack == "5":
        fix = "flash JetPack 6 with NVIDIA SDK Manager: JetPack 5 has Python 3.8 and TensorRT 8"
        return [MachineFinding(topic="jetpack", status="obstacle", found=found, fix=fix)]
    return [MachineFinding(topic="jetpack", status="ok", found=found)]


def cuda_findings(machine: MachineDescription) -> list[MachineFinding]:
    """Whether the driver is new enough for the CUDA that the installed packages were made for."""
    if machine.driver is None:
        return []
    newest = newest_cuda(machine)
    findings = []
    for major, names in sorted(_packages_by_cuda(machine).items()):
        if major <= newest or major not in DRIVER_OF_CUDA:
            continue
        has = f"JetPack {machine.jetpack} has CUDA {newest}" if machine.l4t else _driver(machine)
        least = "" if machine.l4t else f": driver {DRIVER_OF_CUDA[major]} or newer"
        found = f"{has}, but {', '.join(names)} need{'s' if len(names) == 1 else ''} CUDA {major}{least}"
        fix = _fix_of_cuda(names, newest, bool(machine.l4t))
        findings.append(MachineFinding(topic="cuda", status="obstacle", found=found, fix=fix))
    return findings


def _fix_of_cuda(names: list[str], newest: int, jetson: bool) -> str:
    if names == ["cuda-bindings"] and newest in CUDA_PYTHON:
        return f"pip install 'cuda-python<{newest + 1}'"
    if jetson:
        return f"pip uninstall -y {' '.join(names)} && pip install 'cuda-python<{newest + 1}'"
    return _INSTALL_DRIVER


def _driver(machine: MachineDescription) -> str:
    return f"driver {machine.driver}" + (f" knows CUDA {machine.cuda}" if machine.cuda else "")


def newest_cuda(machine: MachineDescription) -> int:
    """The newest CUDA major that the driver runs; a Jetson's driver comes with its JetPack."""
    if machine.l4t:
        return CUDA_OF_JETPACK.get(machine.jetpack or "", max(DRIVER_OF_CUDA))
    driver = numbers(machine.driver or "")
    return max((major for major, least in DRIVER_OF_CUDA.items() if driver >= numbers(least)), default=0)


def _packages_by_cuda(machine: MachineDescription) -> dict[int, list[str]]:
    """The packages made for one CUDA major: by their name (-cu13), or their version for cuda-bindings."""
    packages: dict[int, list[str]] = defaultdict(list)
    for name, version in sorted(machine.packages.items()):
        # its -bindings and -libs say the same once more
        if match := re.search(r"-cu(\d\d)$", name):
            packages[int(match[1])].append(name)
        elif name == "cuda-bindings":
            packages[numbers(version)[0]].append(name)
    return packages


def tensorrt_findings(machine: MachineDescription, engine: Engine | None) -> list[MachineFinding]:
    """Each TensorRT that is installed or that the engine needs: whether it loads, and its version."""
    findings = []
    for backend, module in MODULES.items():
        needed = engine is not None and parse_target(engine.target).backend == backend
        imported = machine.imports.get(module)
        if imported is None:
            # onnxruntime's provider loads TensorRT's libraries
            findings += _absent(machine, module, needed or _provides(module, engine))
        elif imported.error:
            fix = _fix_of_import(machine, module)
            found = f"{module} is installed and does not load: {imported.error}"
            findings.append(MachineFinding(topic=backend, status="obstacle", found=found, fix=fix))
        else:
            findings.append(_version_finding(machine, backend, str(imported.version), engine if needed else None))
            findings += _bindings(machine, module, needed)
    return findings


def _provides(module: str, engine: Engine | None) -> bool:
    return module == "tensorrt" and engine is not None and engine.target == "onnxruntime:tensorrt"


def _absent(machine: MachineDescription, module: str, needed: bool) -> list[MachineFinding]:
    if module == "tensorrt_rtx" and machine.tegra and not needed:
        return []
    if module == "tensorrt" and machine.tegra and machine.container:
        fix = JETSON_BASE
    elif module == "tensorrt" and machine.l4t:
        fix = "sudo apt-get install nvidia-jetpack && python3 -m venv --system-site-packages .venv"
    else:
        fix = "pip install 'hardedge[tensorrt]'" if module == "tensorrt" else "pip install tensorrt_rtx"
    # worth a word where there is a GPU for it
    if not needed and not (machine.gpus or machine.tegra):
        return []
    status: Status = "obstacle" if needed else "note"
    return [MachineFinding(topic=module.replace("_", "-"), status=status, found=f"{module} is not installed", fix=fix)]


def _fix_of_import(machine: MachineDescription, module: str) -> str:
    jetpack = machine.jetpack
    python = PYTHON_OF_JETPACK.get(jetpack or "")
    if module == "tensorrt" and python and not machine.python.startswith(f"{python}."):
        return f"python{python} -m venv --system-site-packages .venv"  # JetPack's bindings are for its own Python
    if module == "tensorrt" and machine.tegra and machine.container:
        return JETSON_RUN  # libnvdla and others come from the host
    if module == "tensorrt" and machine.l4t:
        return "pip uninstall -y tensorrt && sudo apt-get install --reinstall python3-libnvinfer"
    named = {"tensorrt": "'hardedge[tensorrt]'", "tensorrt_rtx": "tensorrt_rtx"}
    return f"pip install --force-reinstall {named[module]}"


def _version_finding(machine: MachineDescription, backend: str, version: str, engine: Engine | None) -> MachineFinding:
    jetpack = machine.jetpack
    if backend == "tensorrt" and jetpack == "6" and numbers(version)[0] >= 11:
        found = f"TensorRT {version} from pip, but JetPack 6 has TensorRT 10: 11 needs JetPack 7.2.2"
        fix = "pip uninstall -y tensorrt && sudo apt-get install --reinstall python3-libnvinfer"
        return MachineFinding(topic=backend, status="obstacle", found=found, fix=fix)
    if engine is not None and (lacking := _lacking_dla(machine, version, engine)):
        return MachineFinding(topic=backend, status="obstacle", found=lacking, fix=f"{DEPLOY} tensorrt")
    if engine is None or loads_plan(engine, version):
        return MachineFinding(topic=backend, status="ok", found=f"{backend} {version}")
    found = (
        f"{backend} {version}, but the engine was built by {engine.builder_version}, and plans need the same version"
    )
    here = f"{DEPLOY} {engine.target}"
    # a Jetson's TensorRT comes with its JetPack: the engine is what can be changed
    fix = here if machine.l4t else f"pip install {engine.builder}=={engine.builder_version}"
    return MachineFinding(topic=backend, status="obstacle", found=found, fix=fix)


def _lacking_dla(machine: MachineDescription, version: str, engine: Engine) -> str | None:
    """Why an engine for a DLA core does not run here; None where it may."""
    if engine.options.dla is None:
        return None
    board = machine.jetson or "this machine"
    if "Thor" in board:
        return f"the engine is for a DLA core, and {board} has none"
    if numbers(version)[0] >= 11 and ("AGX Orin" not in board or numbers(version) < (11, 4, 1)):
        return (
            f"the engine is for a DLA core: TensorRT 11 has them from 11.4.1 on, on Jetson AGX Orin alone, not {board}"
        )
    return None


def _bindings(machine: MachineDescription, module: str, needed: bool) -> list[MachineFinding]:
    imported = machine.imports.get("cuda.bindings.runtime")
    if imported is not None and not imported.error:
        return []
    found = f"{module} runs engines through cuda-python, which "
    found += "is not installed" if imported is None else f"does not load: {imported.error}"
    usable = needed or bool(machine.gpus or machine.l4t)
    fix = "pip install 'cuda-python<13'" if machine.jetpack == "6" else "pip install cuda-python"
    return [MachineFinding(topic="cuda-python", status="obstacle" if usable else "note", found=found, fix=fix)]


def capability_findings(machine: MachineDescription, engine: Engine | None) -> list[MachineFinding]:
    """Whether the first GPU is one that TensorRT knows, and the one that the engine was built for."""
    here = _capability(machine)
    if here is None:
        return []
    if numbers(here) < numbers(OLDEST_CAPABILITY):
        found = f"compute capability {here}; TensorRT needs {OLDEST_CAPABILITY} (Turing) or newer"
        fix = f"{DEPLOY} onnxruntime:cuda"
        return [MachineFinding(topic="compute capability", status="obstacle", found=found, fix=fix)]
    wanted = parse_target(engine.target).device if engine and engine.target.startswith("tensorrt-rtx") else None
    sm = f"sm{here.replace('.', '')}"
    if wanted and wanted != sm:
        found = f"the engine was built for {wanted}, this GPU is {sm}"
        fix = f"{DEPLOY} {_target_for(sm)}"
        return [MachineFinding(topic="compute capability", status="obstacle", found=found, fix=fix)]
    return [MachineFinding(topic="compute capability", status="ok", found=here), *_built_elsewhere(engine)]


def _built_elsewhere(engine: Engine | None) -> list[MachineFinding]:
    """What cannot be known of TensorRT's own plans: the target does not name the GPU, nor does the manifest."""
    if engine is None or engine.target != "tensorrt" or engine.options.hardware_compatible:
        return []
    found = "the engine does not say on which GPU it was built, and TensorRT loads it on the same capability alone"
    return [MachineFinding(topic="compute capability", status="note", found=found, fix=f"{DEPLOY} tensorrt")]


def _target_for(sm: str) -> str:
    """TensorRT-RTX builds for RTX GPUs; TensorRT itself for all others."""
    return f"tensorrt-rtx:{sm}" if f"tensorrt-rtx:{sm}" in KNOWN else "tensorrt"


def extra_findings(machine: MachineDescription) -> list[MachineFinding]:
    """The extras that are not there, each with what it is for."""
    return [
        MachineFinding(topic=f"extra {extra}", status="note", found=f"not installed; it is for: {use}", fix=_pip(extra))
        for package, (extra, use) in EXTRAS.items()
        if package not in machine.packages
    ]


def _pip(extra: str) -> str:
    return f"pip install 'hardedge[{extra}]'"


def _needs_gpu(engine: Engine | None) -> bool:
    return engine is not None and on_nvidia(engine.target)


def _gpus(machine: MachineDescription) -> str:
    return ", ".join(gpu.name for gpu in machine.gpus)


def _capability(machine: MachineDescription) -> str | None:
    """The first GPU's compute capability: the driver's word, else by the Jetson's name."""
    told = machine.gpus[0].capability if machine.gpus else None
    model = (machine.jetson or "").lower()
    by_name = (capability for name, capability in JETSON_CAPABILITY.items() if name in model)
    return told or next(by_name, None)
