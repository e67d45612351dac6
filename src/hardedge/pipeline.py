"""`hardedge run`: every stage in order, each reading the directory that the one before it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hardedge.artefact import require_free, resumable_directory, staged_directory
from hardedge.console import note
from hardedge.contracts import Bundle, Checkpoint, Engine, Report, load
from hardedge.data import open_dataset
from hardedge.deploy.verification.gates import Gates
from hardedge.errors import BadInput, missing_extra
from hardedge.ownership import declare_contents, has_manifest

if TYPE_CHECKING:
    from hardedge.deploy.backends.request import BuildRequest
    from hardedge.deploy.foreign.forms import OnnxInputSpec
    from hardedge.train.recipe import Recipe

# what run and deploy write into OUT: directories that have manifests of their own
_FOLDERS = ("data/streets", "checkpoint", "bundle", "engines/*", "report")


@dataclass(frozen=True, kw_only=True)
class PipelinePlan:
    """What to run: `data` None draws the street scenes; `budget`, if any, replaces the steps; times in seconds."""

    out: Path
    data: Path | None
    recipe: Recipe
    budget: float | None
    targets: tuple[str, ...]
    gates: Gates
    latency: float
    resume: bool
    force: bool


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
    gates: Gates
    latency: float
    request: BuildRequest | None = None
    compared: Compared | None = None


def default_targets() -> tuple[str, ...]:
    """onnxruntime on the CPU, and each other runtime that is installed, for every device that it can build for."""
    from hardedge.deploy.backends.request import Target
    from hardedge.deploy.targets import BACKENDS

    return tuple(str(Target(backend.name, device)) for backend in BACKENDS for device in backend.builds_here())


def run(plan: PipelinePlan) -> Report:
    """Labelled images to verified engines: out/{data,checkpoint,bundle,engines,report}.

    A finished stage is kept when `resume` is given, and training goes on from its last saved step. With `force` an old
    `out` stays until the new one is whole, which is in OUT.next until then. A failure before training has something to
    go on from leaves nothing. Raises the errors of the stages; BadInput when `out` exists and neither resume nor force
    was given.
    """
    _prepare(plan)
    if plan.resume:
        return _run_stages(plan)
    with resumable_directory(plan.out, force=plan.force, worth_keeping=_has_training) as out:
        return _run_stages(replace(plan, out=out))


def _run_stages(plan: PipelinePlan) -> Report:
    _declare(plan.out)
    data = _data(plan)
    _train(plan, data)
    _export(plan, data)
    engines = [(target, "fp32") for target in plan.targets]
    asked = DeployPlan(engines=engines, gates=plan.gates, latency=plan.latency)
    return _build_and_verify(asked, plan.out / "bundle", data, plan.out)


def deploy(
    plan: DeployPlan, bundle: Path, data: Path, out: Path, *, given: OnnxInputSpec | None = None, force: bool
) -> Report:
    """Builds the engines of the plan and verifies them: out/{engines,report}.

    `bundle` may be an ONNX file that someone else exported, of which `given` tells what the file does not: its bundle
    is written to out/bundle. With `force` an old `out` is replaced when the new one is finished, whatever its verdict.
    Raises the errors of the stages, BadInput for `given` with a bundle.
    """
    from hardedge.deploy.bundles.validity import check_model
    from hardedge.deploy.foreign.bundle import bundle_of_foreign
    from hardedge.deploy.foreign.forms import OnnxInputSpec

    said = given or OnnxInputSpec()
    foreign = bundle.is_file()
    if foreign:
        _require_fp32(bundle, plan.engines)
    elif said != OnnxInputSpec():
        raise BadInput(f"{bundle} is a bundle: leave out --mean, --std, --channels, --input-size and --output.")
    else:
        _require_buildable(bundle, data, plan.engines)
    plain = plan.compared.plain if plan.compared else None
    if plain:
        check_model(plain)
    _require_free(out, force, [bundle, data, *([plain] if plain else [])])
    with _output_place(out) as folder:
        if foreign:
            note("3/5 bundle: pixels in, mask out, reference masks of the file as it was given")
            bundle_of_foreign(bundle, data, folder / "bundle", said)
            bundle = folder / "bundle"
        return _build_and_verify(plan, bundle, data, folder)


@contextmanager
def _output_place(out: Path) -> Iterator[Path]:
    """Where `out` is written: there, so that a failure keeps what is finished; beside an old one until all is."""
    if out.exists():
        with staged_directory(out, force=True) as folder:
            yield folder
        return
    with resumable_directory(out, force=False, worth_keeping=_has_built) as folder:
        _declare(folder)
        yield folder


def _declare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    declare_contents(out, folders=_FOLDERS)


def _has_training(out: Path) -> bool:
    return any((out / "checkpoint").glob("state/*.json"))


def _has_built(out: Path) -> bool:
    return (out / "bundle" / Bundle.FILE).is_file() or any(out.glob(f"engines/*/{Engine.FILE}"))


def _require_free(out: Path, force: bool, inputs: Sequence[Path]) -> None:
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


def _prepare(plan: PipelinePlan) -> None:
    if not find_spec("torch"):
        raise missing_extra("torch", "all")
    if plan.data is not None:
        open_dataset(plan.data)
    if plan.resume:
        if not plan.out.is_dir():
            raise BadInput(f"{plan.out} does not exist: nothing to resume. Run without --resume.")
        if plan.data is None and (plan.out / "checkpoint").exists() and not _streets(plan).exists():
            raise BadInput(f"{plan.out} was not started on the street scenes. Give its data set again, with --data.")
        return
    _require_free(plan.out, plan.force, [plan.data] if plan.data else [])


def _data(plan: PipelinePlan) -> Path:
    from hardedge.data.streets.write import write_streets

    if plan.data is not None:
        return plan.data
    folder = _streets(plan)
    if not folder.exists():
        note("1/5 data: drawing the street scenes")
        write_streets(folder)
    return folder


def _streets(plan: PipelinePlan) -> Path:
    return plan.out / "data" / "streets"


def _train(plan: PipelinePlan, data: Path) -> None:
    from hardedge.train.stage import train

    out = plan.out / "checkpoint"
    if (out / Checkpoint.FILE).exists():
        return
    note(f"2/5 train: {plan.recipe.network}, {plan.recipe.loss}")
    train(plan.recipe, data, out, resume=out.exists(), budget=plan.budget)


def _export(plan: PipelinePlan, data: Path) -> None:
    from hardedge.export.stage import export

    if (plan.out / "bundle" / Bundle.FILE).exists():
        return
    note("3/5 export: ONNX, reference masks, identity certificate")
    made = load(Checkpoint, plan.out / "checkpoint")
    allowed = made.network.name == plan.recipe.network  # which is named on this command line
    export(plan.out / "checkpoint", data, plan.out / "bundle", allow_code=allowed)


def _build_and_verify(plan: DeployPlan, bundle: Path, data: Path, out: Path) -> Report:
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
