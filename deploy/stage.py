"""The deploy stage: a bundle, or an ONNX file of someone else's, to verified engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hardedge.artefact import require_free, resumable_directory, staged_directory
from hardedge.console import note
from hardedge.contracts import Bundle, Engine, Report, load
from hardedge.data import open_dataset
from hardedge.deploy.verification.gates import NO_LIMITS, Gates
from hardedge.errors import BadInput
from hardedge.ownership import declare_contents, has_manifest
from hardedge.paths import StrPath, local_paths

if TYPE_CHECKING:
    from hardedge.deploy.backends.request import BuildRequest
    from hardedge.deploy.foreign.forms import OnnxInputSpec

# what run and deploy write into OUT: directories that have manifests of their own
_FOLDERS = ("data/streets", "checkpoint", "bundle", "engines/*", "report")


BUILT_ONLY = Gates(built_only=True)  # where no target was named: those for other devices are built, not run


@dataclass(frozen=True)
class Compared:
    """What the latency test compares beside the defaults: the plain network's ONNX file, and builds an arm."""

    plain: Path | None = None
    builds: int | None = None


@dataclass(frozen=True, kw_only=True)
class DeployPlan:
    """What to build and verify: `engines` are targets with precisions, `latency` is in seconds."""

    engines: Sequence[tuple[str, str]]
    gates: Gates = NO_LIMITS
    latency: float = 15.0
    request: BuildRequest | None = None
    compared: Compared | None = None


def default_targets() -> tuple[str, ...]:
    """onnxruntime on the CPU, and each other runtime that is installed, for every device that it can build for."""
    from hardedge.deploy.backends.request import Target
    from hardedge.deploy.targets import BACKENDS

    return tuple(str(Target(backend.name, device)) for backend in BACKENDS for device in backend.builds_here())


def deploy(
    bundle: StrPath,
    data: StrPath,
    out: StrPath,
    plan: DeployPlan | None = None,
    *,
    given: OnnxInputSpec | None = None,
    force: bool = False,
) -> Report:
    """Builds the engines of the plan and verifies them: out/{engines,report}.

    Without a plan: FP32 for all that can be built here, with those for other devices left out of the gates.
    `bundle` may be an ONNX file that someone else exported, of which `given` tells what the file does not: its bundle
    is written to out/bundle. With `force` an old `out` is replaced when the new one is finished, whatever its verdict.
    Raises the errors of the stages, BadInput for `given` with a bundle.
    """
    from hardedge.deploy.bundles.validity import check_model
    from hardedge.deploy.foreign.bundle import bundle_of_foreign
    from hardedge.deploy.foreign.forms import OnnxInputSpec

    bundle, data, out = local_paths((bundle, data, out))
    plan = plan or DeployPlan(engines=[(target, "fp32") for target in default_targets()], gates=BUILT_ONLY)
    said = given or OnnxInputSpec()
    foreign = bundle.is_file()
    plain = plan.compared.plain if plan.compared else None
    require_output(out, force, [bundle, data, *([plain] if plain else [])])
    if foreign:
        _require_fp32(bundle, plan.engines)
    elif said != OnnxInputSpec():
        raise BadInput(f"{bundle} is a bundle: leave out --mean, --std, --channels, --input-size and --output.")
    else:
        _require_buildable(bundle, data, plan.engines)
    if plain:
        check_model(plain)
    with _output_place(out) as folder:
        if foreign:
            note("3/5 bundle: pixels in, mask out, reference masks of the file as it was given")
            bundle_of_foreign(bundle, data, folder / "bundle", said)
            bundle = folder / "bundle"
        return build_and_verify(plan, bundle, data, folder)


@contextmanager
def _output_place(out: Path) -> Iterator[Path]:
    """Where `out` is written: there, so that a failure keeps what is finished; beside an old one until all is."""
    if out.exists():
        with staged_directory(out, force=True) as folder:
            yield folder
        return
    with resumable_directory(out, force=False, worth_keeping=_has_built) as folder:
        declare_output(folder)
        yield folder


def declare_output(out: Path) -> None:
    """Makes the folder of a run or a deployment, which lists what may be in it."""
    out.mkdir(parents=True, exist_ok=True)
    declare_contents(out, folders=_FOLDERS)


def _has_built(out: Path) -> bool:
    return (out / "bundle" / Bundle.FILE).is_file() or any(out.glob(f"engines/*/{Engine.FILE}"))


def require_output(out: Path, force: bool, inputs: Sequence[Path]) -> None:
    """As require_free; what an earlier version wrote has no list of its own, but its folders have manifests."""
    if force and out.is_dir() and not has_manifest(out):
        names = {path.name for path in out.iterdir()}
        if "engines" in names and names <= {folder.partition("/")[0] for folder in _FOLDERS}:
            declare_contents(out, folders=_FOLDERS)
    require_free(out, force, inputs)


def _require_buildable(bundle: Path, data: Path, engines: Sequence[tuple[str, str]]) -> None:
    """What verify would find after the builds, which may take hours, is found before them."""
    from hardedge.deploy.bundles.same_data import require_same_data

    manifest = load(Bundle, bundle)
    for _, precision in engines:
        manifest.model(precision)
    require_same_data(manifest, open_dataset(data))


def _require_fp32(onnx: Path, engines: Sequence[tuple[str, str]]) -> None:
    others = sorted({precision for _, precision in engines} - {"fp32"})
    if others:
        raise BadInput(
            f"--precision {','.join(others)}: {onnx} is built in the types that it has. Leave --precision out; another "
            "precision is another file, which can be deployed like this one."
        )


def build_and_verify(plan: DeployPlan, bundle: Path, data: Path, out: Path) -> Report:
    """Builds the engines and verifies them into out/{engines,report}; engines that are there are kept."""
    from hardedge.deploy.backends.request import BuildRequest
    from hardedge.deploy.engines.build import build_all
    from hardedge.deploy.latency.repeated_builds import FEWEST_BUILDS, build_repeatedly
    from hardedge.deploy.verification.stage import verify

    gates, compared = plan.gates, plan.compared
    paths = {engine: out / "engines" / _directory_name(*engine) for engine in plan.engines}
    written: set[str] = set()
    # an engine that an earlier command built shows nobody what it was built from
    origin_matters = gates.require is not None or gates.max_overhead is not None
    for precision in dict.fromkeys(precision for _, precision in plan.engines):
        of_this = {target: path for (target, its_own), path in paths.items() if its_own == precision}
        note(f"4/5 build {precision}: {', '.join(of_this)}")
        missing = {
            target: path for target, path in of_this.items() if origin_matters or not (path / Engine.FILE).exists()
        }
        if missing:
            made = build_all(bundle, missing, precision=precision, request=plan.request, force=True)
            written.update(engine.digest for engine in made)
    note("5/5 verify: parity, latency, gates")
    with TemporaryDirectory(prefix="hardedge-") as folder:
        arms = None
        if compared and compared != Compared():
            targets, builds = dict.fromkeys(target for target, _ in plan.engines), compared.builds or FEWEST_BUILDS
            arms = build_repeatedly(
                bundle, compared.plain, list(targets), builds, Path(folder), plan.request or BuildRequest()
            )
        report, built = out / "report", list(paths.values())
        return verify(
            bundle, built, data, report, gates=gates, latency_seconds=plan.latency, arms=arms, built=written, force=True
        )


def _directory_name(target: str, precision: str) -> str:
    name = target.replace(":", "-")
    return name if precision == "fp32" else f"{name}-{precision}"
