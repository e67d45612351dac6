"""Engines: a bundle's ONNX file compiled for a target, through one path for TensorRT-RTX and TensorRT."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hardedge.artefact import require_free, staged_directory
from hardedge.console import note, spinner
from hardedge.contracts import BuildOptions, Bundle, Engine, FallbackNode, Profile, seal, sha256_of
from hardedge.deploy.backends.request import BuildRequest, BuiltPlan, Target
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.engines.fp32_fallback_infinite import write_finite_file
from hardedge.deploy.engines.fp32_fallback_refused import compile_with_fp32_fallback
from hardedge.deploy.targets import BACKENDS, backend_of, parse_target
from hardedge.deploy.tensorrt.plans import compile_plans
from hardedge.graphs.files import copy_onnx
from hardedge.paths import StrPath, local_paths
from hardedge.version import __version__

WEIGHTS = "model.onnx"  # what a stripped plan gets its weights from


def build(
    bundle: StrPath,
    target: str,
    out: StrPath,
    *,
    precision: str = "fp32",
    request: BuildRequest | None = None,
    force: bool = False,
) -> Engine:
    """Compiles a bundle's network for one target into the engine directory `out`.

    Raises BadInput for an unknown target or precision, an altered bundle, and a network that the builder refuses;
    Unavailable when the builder is not installed.
    """
    bundle, out = local_paths((bundle, out))
    return build_all(bundle, {target: out}, precision=precision, request=request, force=force)[0]


def build_all(
    bundle: Path,
    directories: Mapping[str, Path],
    *,
    precision: str = "fp32",
    request: BuildRequest | None = None,
    force: bool = False,
) -> tuple[Engine, ...]:
    """As build, for several targets by name, each into its own directory: one start of each builder for all of them."""
    request = request or BuildRequest()
    outs = {parse_target(name): out for name, out in directories.items()}
    for out in outs.values():
        require_free(out, force)
    sessions = [str(target) for target in outs if not backend_of(target).takes_options]
    if sessions and request.options != BuildOptions():
        note(f"{', '.join(sessions)}: built without the options, which are TensorRT's.")
    with _network(bundle, precision, request) as network:
        return _engines(network, outs, request, force)


def repeat_build(
    bundle: Path, target: str, outs: Sequence[Path], *, precision: str = "fp32", request: BuildRequest | None = None
) -> Iterator[Engine]:
    """As build, once for each directory, each when it is asked for: TensorRT's builds of one file differ.

    They are numbered from 0, so that a cache keeps each. The file is looked at for infinite values once.
    """
    request = request or BuildRequest()
    with _network(bundle, precision, request) as network:
        for number, out in enumerate(outs):
            require_free(out, False)
            (engine,) = _engines(network, {parse_target(target): out}, replace(request, build=number), False)
            yield engine


@dataclass(frozen=True)
class _Network:
    """A bundle's ONNX file as builders get it; `healed` are the nodes in FP32 that keep its values finite."""

    bundle: Bundle
    precision: str
    onnx: Path
    healed: tuple[FallbackNode, ...]


@contextmanager
def _network(directory: Path, precision: str, request: BuildRequest) -> Iterator[_Network]:
    opened = load_bundle(directory)
    bundle, shipped = opened.manifest, opened.model_path(precision)
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        onnx, healed = write_finite_file(opened, shipped, Path(folder), request)
        yield _Network(bundle, precision, onnx, healed)


def _engines(network: _Network, outs: Mapping[Target, Path], request: BuildRequest, force: bool) -> tuple[Engine, ...]:
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder, ExitStack() as stack:
        with spinner(f"building for {', '.join(map(str, outs))}") as tell:
            request = replace(request, tell=tell)
            plans = _plans(network, tuple(outs), Path(folder), request)
        staging = {target: stack.enter_context(staged_directory(out, force=force)) for target, out in outs.items()}
        return tuple(_save(network, request.options, target, plans[target], staging[target]) for target in outs)


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
def _rtx(onnx: Path, targets: Sequence[str], profiles: Sequence[Profile]) -> Iterator[dict[Target, BuiltPlan]]:
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        yield compile_plans("tensorrt-rtx", onnx, [parse_target(name) for name in targets], profiles, Path(folder))


def _plans(
    network: _Network, targets: Sequence[Target], folder: Path, request: BuildRequest
) -> dict[Target, BuiltPlan]:
    plans: dict[Target, BuiltPlan] = {}
    profiles = network.bundle.profiles
    for backend in BACKENDS:
        wanted = [target for target in targets if target.backend == backend.name]
        if wanted:
            plans |= compile_with_fp32_fallback(
                backend, network.onnx, network.precision, wanted, profiles, folder, request
            )
    return plans


def _save(network: _Network, options: BuildOptions, target: Target, plan: BuiltPlan, directory: Path) -> Engine:
    bundle = network.bundle
    backend = backend_of(target)
    session = backend.open_model is not None
    name = "model.onnx" if session else "model.plan"
    copied = copy_onnx if session else shutil.copyfile
    copied(plan.path, directory / name)
    weights = WEIGHTS if options.strip_weights and backend.takes_options else None
    if weights:
        copy_onnx(plan.onnx or network.onnx, directory / weights)
    engine = Engine(
        schema_id=Engine.SCHEMA,
        hardedge=__version__,
        made_from=bundle.digest,
        files={},
        target=str(target),
        precision=network.precision,
        plan=name,
        onnx_digest=bundle.model(network.precision).onnx_digest,
        builder=plan.builder,
        builder_version=plan.builder_version,
        profiles=bundle.profiles,
        seconds=plan.seconds,
        options=options if backend.takes_options else BuildOptions(),
        healed=(*network.healed, *plan.healed),
        weights=weights,
        executed=plan.executed,
    )
    return seal(directory, engine)
