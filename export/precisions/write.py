"""The bundle's files of other precisions: converted, checked, measured, and built for every target."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import onnx

from hardedge.console import spinner
from hardedge.contracts import Conversion, EngineCheck, ModelFile, Profile, write_atomically
from hardedge.deploy.targets import RTX_TARGETS
from hardedge.errors import BadInput
from hardedge.export.precisions.accuracy import PrecisionReference, measure_agreement
from hardedge.export.precisions.convert import Converted, convert
from hardedge.export.precisions.coverage import kept_nodes, multiply_adds_by_precision
from hardedge.export.precisions.engine_checks import EngineRefused, check_engines
from hardedge.graphs.canonical import complexity_of, onnx_digest

FALLBACKS = 4  # nodes that a builder may refuse before the precision is given up


@dataclass(frozen=True)
class Origin:
    """What is converted: the FP32 file, the calibration images, the profiles, and the facts that every file carries."""

    fp32: Path
    images: list[Path]
    profiles: tuple[Profile, ...]
    with_facts: Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclass(frozen=True)
class Made:
    """A converted file, which targets its engine was built for, and how long both took."""

    converted: Converted
    engines: tuple[EngineCheck, ...]
    seconds: float


def write_precisions(
    origin: Origin,
    precisions: Sequence[str],
    reference: PrecisionReference,
    out: Path,
    *,
    targets: Sequence[str] = RTX_TARGETS,
) -> tuple[ModelFile, ...]:
    """Writes out/model.PRECISION.onnx for each precision; raises BadInput when a check does not pass.

    Two are converted and built at a time, each in processes of their own.
    """
    with ThreadPoolExecutor(2) as pool:
        making = [pool.submit(write_precision, origin, precision, out, targets=targets) for precision in precisions]
        files = []
        try:
            for precision, one in zip(precisions, making, strict=True):
                with spinner(f"{precision}: conversion and engines"):
                    made = one.result()
                files.append(_model_entry(origin, precision, made, reference))
        finally:
            for one in making:  # after a failure those that wait are minutes for nothing
                one.cancel()
    return tuple(files)


def write_precision(origin: Origin, precision: str, out: Path, *, targets: Sequence[str] = RTX_TARGETS) -> Made:
    """Writes out/model.PRECISION.onnx, with the nodes in FP32 that TensorRT-RTX refuses, and builds its engines.

    Raises BadInput when the converter fails, or when no target's engine can be built.
    """
    began = time.perf_counter()
    path = out / path_of(precision)
    keep: dict[str, str] = {}
    for _ in range(FALLBACKS + 1):
        converted = convert(origin.fp32, precision, origin.images, keep=keep)
        write_atomically(path, origin.with_facts(converted.model).SerializeToString(deterministic=True))
        try:
            engines = check_engines(path, precision, targets, origin.profiles)
        except EngineRefused as refusal:
            source = converted.sources.get(refusal.node)
            if source is None or source in keep:
                raise BadInput(f"{precision}: TensorRT-RTX refused the network: {refusal.reason}") from refusal
            keep = {**keep, source: f"TensorRT-RTX refused it in {precision.upper()}: {refusal.reason}"}
            continue
        _require_one(precision, engines)
        return Made(converted, engines, time.perf_counter() - began)
    listing = "\n".join(f"  {node}: {why}" for node, why in keep.items())
    raise BadInput(f"{precision}: TensorRT-RTX refused one node after another:\n{listing}\nLeave this precision out.")


def path_of(precision: str) -> str:
    """The name of a precision's file in a bundle."""
    return f"model.{precision}.onnx"


def _require_one(precision: str, engines: tuple[EngineCheck, ...]) -> None:
    if not any(engine.status != "not built" for engine in engines):
        reasons = "\n".join(f"  {engine.target}: {engine.detail}" for engine in engines)
        raise BadInput(f"{precision}: no target's engine could be built:\n{reasons}\nLeave this precision out.")


def _model_entry(origin: Origin, precision: str, made: Made, reference: PrecisionReference) -> ModelFile:
    model, size = made.converted.model, origin.profiles[0].opt
    by_precision = multiply_adds_by_precision(model, size)
    return ModelFile(
        path=path_of(precision),
        precision=precision,
        onnx_digest=onnx_digest(model),
        census=complexity_of(model, size, multiply_adds=sum(by_precision.values())),
        conversion=Conversion(
            tool=made.converted.tool,
            multiply_adds=by_precision,
            kept=kept_nodes(made.converted, precision, size),
            agreement=measure_agreement(model, precision, reference),
            engines=made.engines,
            seconds=made.seconds,
        ),
    )
