"""Plans: what the builder process made of an ONNX file, or its errors as one message."""

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hardedge.child_process import ChildResult
from hardedge.contracts import Profile, sha256_of
from hardedge.deploy.backends.build_cache import BuildKey
from hardedge.deploy.backends.request import BuildRefused, BuildRequest, BuiltPlan, Target
from hardedge.deploy.machine import gpu_name
from hardedge.deploy.tensorrt.api import MODULES, unsupported_options
from hardedge.deploy.tensorrt.builder import LACKING, out_of_memory, run_builder
from hardedge.errors import HardedgeError, Unavailable, faults_error, missing_extra
from hardedge.graphs.builder_rules import require_right_builder
from hardedge.graphs.files import read_onnx

_ERROR_LINE = re.compile(r"\[[E!]\] (.+)")
# printed by TensorRT-RTX on every machine without a driver, where building works all the same
_HARMLESS = "CUDA driver version is insufficient"


def compile_plans(
    backend: str,
    onnx: Path,
    targets: Sequence[Target],
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest | None = None,
) -> dict[Target, BuiltPlan]:
    """Compiles an ONNX file for targets of one backend into `folder`, in one builder process.

    A plan has every profile, in their order. What the request's cache holds is taken from there. Raises BadInput with
    the builder's errors when it refuses the network and for options that it does not have, Unavailable when it is not
    installed or finds no GPU where it needs one.
    """
    request = request or BuildRequest()
    builder = MODULES[backend]
    _require_builder(builder)
    faults = unsupported_options(builder, request.options)
    if faults:
        raise faults_error(f"{builder} cannot build with these options", faults, "Leave them out for this target.")
    require_right_builder(read_onnx(onnx), str(onnx), builder, _version_of(builder))
    if request.cache:
        request.cache.require_usable()
    if request.cache is None:
        return _build_in_process(builder, onnx, targets, profiles, folder, request, None)
    keys = {target: _build_key(builder, onnx, target, profiles, request) for target in targets}
    kept = {target: found for target in targets if (found := request.cache.find(keys[target]))}
    plans = {
        target: BuiltPlan(found.path, builder, keys[target].builder_version, found.seconds)
        for target, found in kept.items()
    }
    missing = [target for target in targets if target not in kept]
    if missing:
        # the timings of one device: TensorRT builds for the GPU that is here, TensorRT-RTX keeps none
        timings = folder / "timings" if builder == "tensorrt" else None
        if timings:
            request.cache.lend_timings(keys[missing[0]], timings)
        made = _build_in_process(builder, onnx, missing, profiles, folder, request, timings)
        for target, plan in made.items():
            request.cache.keep(keys[target], plan.path, plan.seconds)
        if timings:
            request.cache.keep_timings(keys[missing[0]], timings)
        plans |= made
    return plans


def _version_of(builder: str) -> str:
    """The installed version; the modules of a Jetson's system packages tell it only themselves, in the builder."""
    try:
        return version(builder)
    except PackageNotFoundError:
        return "0"


def _build_key(
    builder: str, onnx: Path, target: Target, profiles: Sequence[Profile], request: BuildRequest
) -> BuildKey:
    return BuildKey(
        onnx_sha256=sha256_of(onnx),
        builder=builder,
        builder_version=version(builder),
        device=target.device or gpu_name() or "unknown",
        profiles=tuple(profiles),
        options=request.options,
        build=request.build,
    )


def _build_in_process(
    builder: str,
    onnx: Path,
    targets: Sequence[Target],
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest,
    timings: Path | None,
) -> dict[Target, BuiltPlan]:
    devices = {target: target.device or "here" for target in targets}
    job = {
        "builder": builder,
        "onnx": str(onnx.resolve()),
        "devices": list(devices.values()),
        "folder": str(folder),
        "profiles": [{"min": profile.min, "opt": profile.opt, "max": profile.max} for profile in profiles],
        "options": asdict(request.options),
        "timings": str(timings) if timings else None,
    }
    done = run_builder(job, request.tell)
    if done.status != 0:
        raise _refusal(builder, onnx, done)
    made = json.loads(done.output.splitlines()[-1])
    return {
        target: BuiltPlan(folder / f"{device}.plan", builder, made["version"], made["seconds"][device])
        for target, device in devices.items()
    }


def _require_builder(builder: str) -> None:
    if importlib.util.find_spec(builder):
        return
    if builder == "tensorrt_rtx":
        raise missing_extra("tensorrt_rtx", "export")
    raise Unavailable(
        "tensorrt is not installed. Add it with: pip install 'hardedge[tensorrt]' (its libraries come from NVIDIA's "
        "own index, and it builds only on the GPU that the engine is for). Without a GPU: --target tensorrt-rtx:sm86"
    )


def _refusal(builder: str, onnx: Path, done: ChildResult) -> HardedgeError:
    errors = builder_errors(done.output + done.errors)
    if done.status < 0:
        errors.append(f"the builder was ended by signal {-done.status}")
    reasons = "\n".join(f"  {line}" for line in errors)
    lacking = done.errors.rpartition(LACKING)
    if lacking[1]:
        return Unavailable(f"{lacking[2].strip()}. Build without --dla, or on a device that has it.")
    if out_of_memory(done):
        return Unavailable(
            f"{builder} ran out of memory while it built {onnx}:\n{reasons}\n"
            "Free memory, or give it less to do: --workspace MIB, --optimization-level 0, a smaller profile. "
            "A cache (--cache) keeps what was built before."
        )
    if builder == "tensorrt" and any("CUDA" in line for line in errors):
        return Unavailable(
            f"{builder} cannot build here:\n{reasons}\n"
            "Run it on the machine that has the GPU, or build ahead of time with --target tensorrt-rtx:sm86."
        )
    return BuildRefused(
        f"{builder} refused {onnx}:\n{reasons}\n"
        "Change what the network does there and export it again, or leave this target out.",
        errors,
    )


def builder_errors(output: str) -> list[str]:
    """The error lines of a builder's output, each once; where there is none, its last line."""
    return error_lines("\n".join(line for line in output.splitlines() if _HARMLESS not in line))


def error_lines(output: str) -> list[str]:
    """What Polygraphy printed as errors, each line once; where there is none, the last line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    errors = [match[1] for line in lines if (match := _ERROR_LINE.search(line)) and "--- " not in match[1]]
    return list(dict.fromkeys(errors)) or lines[-1:]
