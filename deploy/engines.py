"""Engines: a bundle's ONNX file compiled for a target, through one path for TensorRT-RTX and TensorRT."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hardedge
from hardedge.artefact import require_free, staged
from hardedge.console import waiting
from hardedge.contracts import BuildOptions, Bundle, Engine, HealedNode, Profile, load, seal, sha256_of
from hardedge.deploy.finite_files import finite_file
from hardedge.deploy.healed_plans import compile_or_heal
from hardedge.deploy.plans import Order, Plan, compile_plans
from hardedge.deploy.soundness import model_path
from hardedge.deploy.targets import Target, parse_target
from hardedge.errors import MissingHere
from hardedge.onnx_files import copy_onnx

WEIGHTS = "model.onnx"  # what a stripped plan gets its weights from


def build(
    bundle: Path,
    target: str,
    out: Path,
    *,
    precision: str = "fp32",
    order: Order | None = None,
    force: bool = False,
) -> Engine:
    """Compiles a bundle's network for one target into the engine directory `out`.

    Raises BadInput for an unknown target or precision, an altered bundle, and a network that the builder refuses;
    MissingHere when the builder is not installed.
    """
    return build_all(bundle, {target: out}, precision=precision, order=order, force=force)[0]


def build_all(
    bundle: Path,
    directories: Mapping[str, Path],
    *,
    precision: str = "fp32",
    order: Order | None = None,
    force: bool = False,
) -> tuple[Engine, ...]:
    """As build, for several targets by name, each into its own directory: one start of each builder for all of them."""
    order = order or Order()
    outs = {parse_target(name): out for name, out in directories.items()}
    for out in outs.values():
        require_free(out, force)
    source = load(Bundle, bundle)
    shipped = model_path(bundle, source, precision)
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder, ExitStack() as stack:
        onnx, healed = finite_file(bundle, source, shipped, Path(folder), order)
        with waiting(f"building for {', '.join(map(str, outs))}") as tell:
            plans = _plans(onnx, tuple(outs), source.profiles, Path(folder), replace(order, tell=tell))
        staging = {target: stack.enter_context(staged(out, force=force)) for target, out in outs.items()}
        made = partial(_save, source, precision, order.options, healed, onnx)
        return tuple(made(target, plans[target], staging[target]) for target in outs)


def rtx_plans(onnx: Path, targets: Sequence[str], profiles: Sequence[Profile]) -> dict[str, bytes]:
    """The TensorRT-RTX plan of an ONNX file for each target (`tensorrt-rtx:sm86`); equal input gives equal bytes.

    Under a profile of one size, that is: for a range, the builder numbers its shape arithmetic anew in every build.
    """
    with _rtx(onnx, targets, profiles) as plans:
        return {str(target): plan.path.read_bytes() for target, plan in plans.items()}


def rtx_digests(onnx: Path, targets: Sequence[str], profiles: Sequence[Profile]) -> dict[str, str]:
    """The sha256 of each of rtx_plans, without holding them in memory."""
    with _rtx(onnx, targets, profiles) as plans:
        return {str(target): sha256_of(plan.path) for target, plan in plans.items()}


@contextmanager
def _rtx(onnx: Path, targets: Sequence[str], profiles: Sequence[Profile]) -> Iterator[dict[Target, Plan]]:
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        yield compile_plans("tensorrt-rtx", onnx, [parse_target(name) for name in targets], profiles, Path(folder))


def _plans(
    onnx: Path, targets: Sequence[Target], profiles: Sequence[Profile], folder: Path, order: Order
) -> dict[Target, Plan]:
    plans: dict[Target, Plan] = {}
    for backend in ("tensorrt-rtx", "tensorrt"):
        wanted = [target for target in targets if target.backend == backend]
        if wanted:
            plans |= compile_or_heal(backend, onnx, wanted, profiles, folder, order)
    for target in targets:
        if target.backend == "onnxruntime":
            plans[target] = Plan(onnx, "onnxruntime", onnxruntime_version(), 0.0)
    return plans


def _save(
    bundle: Bundle,
    precision: str,
    options: BuildOptions,
    healed: tuple[HealedNode, ...],
    onnx: Path,
    target: Target,
    plan: Plan,
    directory: Path,
) -> Engine:
    session = target.backend == "onnxruntime"
    name = "model.onnx" if session else "model.plan"
    copied = copy_onnx if session else shutil.copyfile
    copied(plan.path, directory / name)
    weights = WEIGHTS if options.strip_weights and not session else None
    if weights:
        copy_onnx(plan.onnx or onnx, directory / weights)
    engine = Engine(
        schema_id=Engine.SCHEMA,
        hardedge=hardedge.__version__,
        made_from=bundle.digest,
        files={},
        target=str(target),
        precision=precision,
        plan=name,
        onnx_digest=bundle.model(precision).onnx_digest,
        builder=plan.builder,
        builder_version=plan.builder_version,
        profiles=bundle.profiles,
        seconds=plan.seconds,
        options=BuildOptions() if session else options,
        healed=(*healed, *plan.healed),
        weights=weights,
    )
    return seal(directory, engine)


def onnxruntime_version() -> str:
    """The version of whichever onnxruntime package is installed; raises MissingHere when none is."""
    for package in ("onnxruntime-gpu", "onnxruntime"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise MissingHere("onnxruntime is not installed. Add it with: pip install hardedge")
