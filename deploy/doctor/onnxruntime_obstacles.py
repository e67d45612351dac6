"""What can keep onnxruntime from running on a machine, or from using its GPU."""

from __future__ import annotations

from typing import Final

from hardedge.contracts import Engine
from hardedge.deploy.doctor.finding import DEPLOY, MachineFinding, Status, numbers
from hardedge.deploy.doctor.machine_description import MachineDescription
from hardedge.deploy.doctor.obstacles import newest_cuda

# the releases on PyPI for each CUDA major
FOR_CUDA: Final = {12: "onnxruntime-gpu<1.27", 13: "onnxruntime-gpu>=1.27"}


def onnxruntime_findings(machine: MachineDescription, engine: Engine | None) -> list[MachineFinding]:
    """Exactly one onnxruntime, that it loads, and its CUDA provider where a GPU could be used."""
    there = sorted(name for name in machine.packages if name in ("onnxruntime", "onnxruntime-gpu"))
    right = "onnxruntime-gpu" if machine.processor in ("x86_64", "AMD64") or _has_gpu_wheel(machine) else "onnxruntime"
    if len(there) > 1:
        fix = f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install {right}"
        found = "onnxruntime and onnxruntime-gpu are both installed, and have overwritten each other's files"
        return [MachineFinding(topic="onnxruntime", status="obstacle", found=found, fix=fix)]
    imported = machine.imports.get("onnxruntime")
    if imported is None or imported.error:
        said = "is not installed" if imported is None else f"does not load: {imported.error}"
        fix = f"pip install --force-reinstall {right}"
        return [MachineFinding(topic="onnxruntime", status="obstacle", found=f"onnxruntime {said}", fix=fix)]
    cuda = "CUDAExecutionProvider" in machine.providers
    built = f" {machine.onnxruntime_cuda}" if machine.onnxruntime_cuda else ""
    found = f"onnxruntime {imported.version}: {f'CPU and CUDA{built}' if cuda else 'CPU'}"
    needed = engine is not None and engine.target in ("onnxruntime:cuda", "onnxruntime:tensorrt")
    if needed and not cuda:
        fix = f"pip uninstall -y {' '.join(there) or 'onnxruntime'} && pip install onnxruntime-gpu"
        if machine.jetpack == "6":  # PyPI has no onnxruntime-gpu for its Python and CUDA; its own TensorRT is there
            fix = f"{DEPLOY} tensorrt"
        return [
            MachineFinding(topic="onnxruntime", status="obstacle", found=f"{found}; the engine needs CUDA", fix=fix)
        ]
    if cuda and (other := _another_cuda(machine)):
        status: Status = "obstacle" if needed else "note"
        fix = f"pip install '{FOR_CUDA[other]}'" if other in FOR_CUDA else f"{DEPLOY} onnxruntime:cpu"
        found = f"{found}; the CUDA that is here is {other}, so that it computes on the CPU alone"
        return [MachineFinding(topic="onnxruntime", status=status, found=found, fix=fix)]
    return [MachineFinding(topic="onnxruntime", status="ok", found=found)]


def _has_gpu_wheel(machine: MachineDescription) -> bool:
    """A GPU beside an ARM processor, with a Python that PyPI has onnxruntime-gpu for (glibc 2.34, CUDA 13)."""
    fits = machine.processor == "aarch64" and bool(machine.gpus) and machine.jetpack != "6"
    return fits and numbers(machine.python) >= (3, 11)


def _another_cuda(machine: MachineDescription) -> int | None:
    """The CUDA major here where onnxruntime was built for another: that of the libraries, else the driver's newest."""
    if machine.onnxruntime_cuda is None:
        return None
    built = numbers(machine.onnxruntime_cuda)[0]
    if machine.cuda_libraries:
        here = numbers(machine.cuda_libraries)[0]
        return here if here != built else None
    newest = newest_cuda(machine) if machine.driver else built
    return newest if newest < built and newest in FOR_CUDA else None  # older: the driver itself is an obstacle
