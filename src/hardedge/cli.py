"""The command line: it parses, calls a stage, and prints what came back."""

from __future__ import annotations

import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hardedge import __version__
from hardedge.artefact import disk_errors
from hardedge.errors import GateFailed, HardedgeError, ToldElsewhere

if TYPE_CHECKING:
    from hardedge.contracts import Report
    from hardedge.deploy.gates import Gates
    from hardedge.deploy.plans import Order
    from hardedge.export.calibration import By
    from hardedge.train.recipe import Recipe

INTERRUPTED = 130


class Duration(click.ParamType[float]):
    """A time such as 90s, 10m or 2h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value))
        if not match:
            self.fail(f"{value!r} is no duration. Write it as 90s, 10m or 2h.", param, ctx)
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


class Setting(click.ParamType[tuple[str, str]]):
    """FIELD=VALUE, for a field of the recipe."""

    name = "field=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        field, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value!r} has no '='. Write it as FIELD=VALUE, for example steps=500.", param, ctx)
        return field.strip(), text.strip()


FOLDER = click.Path(path_type=Path)
data_option = click.option("--data", type=FOLDER, required=True, help="The data set's folder.")
out_option = click.option("--out", type=FOLDER, required=True, help="The directory to write.")
force_option = click.option("--force", is_flag=True, help="Replace --out where it exists.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
resume_option = click.option("--resume", is_flag=True, help="Go on where an earlier run stopped.")
budget_option = click.option("--budget", type=Duration(), help="Train as many steps as fit this time (10m, 2h).")
set_option = click.option(
    "--set", "settings", type=Setting(), multiple=True, help="Change a field of the recipe, e.g. loss='ce + 0.5*cpg'."
)
target_option = click.option(
    "--target",
    "targets",
    multiple=True,
    help="onnxruntime:cpu, onnxruntime:cuda, tensorrt, tensorrt-rtx:sm86,sm89 ...; may be repeated.",
)


def precision_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """--precision: names separated by commas, FP32 without it."""
    return click.option("--precision", default="fp32", show_default=True, help=help_text)


def verify_options(command: Callable[..., None]) -> Callable[..., None]:
    """The gates, as options (exit code 1 when one does not hold), and how long latency is measured."""
    command = click.option(
        "--gates", "gates_file", type=FOLDER, help="A gates.toml with the same limits; options go before it."
    )(command)
    command = click.option(
        "--require",
        type=click.Choice(["level0", "level0-engines"]),
        help="Fail unless the certificate is identical at this level.",
    )(command)
    command = click.option(
        "--latency", type=Duration(), default="15s", show_default=True, help="How long to measure latency; 0s: not."
    )(command)
    command = click.option(
        "--require-precision",
        metavar="NAME>=SHARE",
        help="Fail unless this share of the multiply-adds is in this precision, e.g. 'int8>=0.9'.",
    )(command)
    command = click.option(
        "--max-overhead", type=click.FloatRange(min=0), help="Fail unless the overhead is below this many percent."
    )(command)
    return click.option(
        "--max-miou-drop", type=click.FloatRange(min=0), help="Fail unless mIoU drops by less than this many points."
    )(command)


def build_options(command: Callable[..., None]) -> Callable[..., None]:
    """What TensorRT's builder is told, and where builds are kept."""
    for option in reversed(
        (
            click.option("--optimization-level", type=click.IntRange(0, 5), help="How long TensorRT searches."),
            click.option("--workspace", type=click.IntRange(min=1), help="Memory for the builder's choices, in MiB."),
            click.option("--version-compatible", is_flag=True, help="Engines for later TensorRTs of the same major."),
            click.option("--hardware-compatible", is_flag=True, help="Engines for every GPU from Ampere on."),
            click.option("--no-heal", is_flag=True, help="Fail where a node would have to stay in FP32."),
            click.option("--cache", type=FOLDER, help="A folder where builds and timings are kept and found again."),
        )
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hardedge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Semantic segmentation from training to TensorRT on edge GPUs, with proof.

    Exit codes: 0 passed, 1 a gate or a check failed, 2 wrong use or bad input, 3 something is missing on this
    machine, 130 interrupted. Results go to stdout, everything else to stderr.
    """


@cli.command()
@click.argument("recipe", required=False)
@click.option("--data", type=FOLDER, help="The data set's folder; without it the built-in street scenes are drawn.")
@click.option("--out", type=FOLDER, default=Path("runs/run"), show_default=True, help="The directory to write.")
@set_option
@budget_option
@target_option
@verify_options
@resume_option
@force_option
@json_option
def run(
    recipe: str | None,
    data: Path | None,
    out: Path,
    settings: tuple[tuple[str, str], ...],
    budget: float | None,
    targets: tuple[str, ...],
    latency: float,
    resume: bool,
    force: bool,
    as_json: bool,
    **gates: Any,
) -> None:
    """Train, export, build engines, verify them.

    Everything in one command, from labelled images to the report in OUT/report.
    RECIPE is what `hardedge train` takes (default: streets, or camvid with --data).

    Example: hardedge run --data my_data --out runs/mine --budget 20m --max-miou-drop 0.1
    """
    from hardedge import pipeline

    plan = pipeline.Plan(
        out=out,
        data=data,
        recipe=_recipe(recipe or ("camvid" if data else "streets"), settings),
        budget=budget,
        targets=_targets(targets) or pipeline.default_targets(),
        gates=_gates(gates),
        latency=latency,
        resume=resume,
        force=force,
    )
    _finish(pipeline.run(plan), out / "report", as_json)


@cli.command()
@click.argument("recipe")
@data_option
@out_option
@set_option
@budget_option
@click.option(
    "--hardness-maps",
    type=FOLDER,
    help="A trained checkpoint: its hardness of the training images stands in for a branch (--set branches=).",
)
@click.option("--pretrained", is_flag=True, help="Start the backbone from its library's ImageNet weights.")
@click.option(
    "--backbone-weights",
    type=FOLDER,
    help="A file with the state_dict that the backbone starts from (safetensors, or torch.save).",
)
@click.option("--start-from", type=FOLDER, help="A trained checkpoint whose weights are trained further.")
@click.option(
    "--qat",
    type=click.Choice(["int8"]),
    help="Fine-tune --start-from for a precision: the network computes in it while it learns.",
)
@resume_option
@force_option
@json_option
def train(
    recipe: str,
    data: Path,
    out: Path,
    settings: tuple[tuple[str, str], ...],
    budget: float | None,
    hardness_maps: Path | None,
    pretrained: bool,
    backbone_weights: Path | None,
    start_from: Path | None,
    qat: str | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Train RECIPE on a data set and write a checkpoint.

    RECIPE is a shipped recipe (`hardedge recipes` lists them), FILE.py or FILE.py:function of your own, or the
    directory of a finished training, whose recipe is run again.

    Example: hardedge train camvid --data my_data --out runs/a --set loss='hardness + cpg' --set steps=2000
    """
    if pretrained:
        settings += (("pretrained", "true"),)
    configured = _recipe(recipe, (*settings, ("qat", qat)) if qat else settings)
    from hardedge.train.train import train

    checkpoint = train(
        configured,
        data,
        out,
        resume=resume,
        budget=budget,
        hardness_maps=hardness_maps,
        backbone_weights=backbone_weights,
        start_from=start_from,
        force=force,
    )
    if checkpoint is None:
        return
    score = checkpoint.validation.miou
    _print(checkpoint, f"{out}: {checkpoint.steps} steps, validation mIoU {score:.2f} %", as_json)


@cli.command()
@click.argument("data", type=FOLDER)
@out_option
@click.option("--steps", type=click.IntRange(min=1), default=1000, show_default=True, help="Training steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed trains another network.")
@force_option
@json_option
def edges(data: Path, out: Path, steps: int, seed: int, force: bool, as_json: bool) -> None:
    """Train the edge network that the loss semeda needs.

    It learns from the masks alone where their classes have edges.

    Example: hardedge edges my_data --out runs/edges, then --set loss="ce + semeda(network='runs/edges')"
    """
    _require("torch", "train")
    from hardedge.train.edge_network import train_edge_network

    manifest = train_edge_network(data, out, steps=steps, seed=seed, force=force)
    score = manifest.validation.mean_f
    _print(manifest, f"{out}: {steps} steps, mean F-score of validation edges {score:.1f} %", as_json)


@cli.command()
@click.argument("checkpoint", type=FOLDER)
@data_option
@out_option
@click.option("--opset", type=click.IntRange(min=18), default=20, show_default=True, help="The ONNX opset.")
@precision_option("ONNX files to write, as a list: fp32,fp16,bf16,int8,fp8. FP32 is always among them.")
@click.option(
    "--calibrate-by",
    type=click.Choice(["random", "hardness", "stratified"]),
    default="stratified",
    show_default=True,
    help="The calibration images: random ones, the hardest, or evenly from easy to hard.",
)
@click.option(
    "--calibration-images", type=click.IntRange(min=1), default=32, show_default=True, help="How many, at most."
)
@force_option
@json_option
def export(
    checkpoint: Path,
    data: Path,
    out: Path,
    opset: int,
    precision: str,
    calibrate_by: By,
    calibration_images: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write the bundle that ships.

    The network as ONNX, reference and golden masks, and the identity certificate. Another --precision than fp32 adds
    a file converted by NVIDIA Model Optimizer, measured against FP32 and built for every target that can hold it.

    Example: hardedge export runs/a --data my_data --out runs/a_bundle --precision fp16,int8
    """
    from hardedge.deploy.precision import parse_precisions

    names = parse_precisions(precision)
    _require("torch", "export")
    _require("onnxscript", "export")
    from hardedge.export.export import Precisions, export
    from hardedge.export.precision_table import described

    wanted = Precisions(names=names, calibrate_by=calibrate_by, calibration_images=calibration_images)
    bundle = export(checkpoint, data, out, opset=opset, precisions=wanted, force=force)
    line = f"{out}: test mIoU {bundle.reference.score.miou:.2f} %, {len(bundle.models)} ONNX file(s)"
    _print(bundle, f"{described(bundle)}\n{line}" if wanted.converted else line, as_json)


@cli.command()
@click.argument("bundle", type=FOLDER)
@data_option
@out_option
@click.option("--goal", default="miou-drop<=0.2", show_default=True, help="How far mIoU may fall, in points.")
@force_option
@json_option
def tune(bundle: Path, data: Path, out: Path, goal: str, force: bool, as_json: bool) -> None:
    """Find the nodes of the INT8 file that must stay in FP16.

    Takes back as few as meet the goal on the validation split, the most sensitive first, and writes the bundle again
    with model.mixed.onnx (for deploy --precision mixed), tuning.json and pareto.svg. Goes on where it was stopped.

    Example: hardedge tune runs/a_bundle --data my_data --out runs/a_tuned --goal 'miou-drop<=0.2'
    """
    from hardedge.export.tune import parse_goal, tune

    points = parse_goal(goal)
    _require("torch", "export")
    from hardedge.export.precision_table import described

    tuned, tuning = tune(bundle, data, out, goal=points, force=force)
    line = f"{out}: {tuning.chosen} of {len(tuning.order)} nodes in FP16, {len(tuning.steps)} mixtures measured"
    _print(tuning, f"{described(tuned)}\n{line}", as_json)


@cli.command()
@click.argument("weights", type=FOLDER)
@click.option("--network", required=True, help="Its name in `hardedge models`, or package.module:function of your own.")
@data_option
@out_option
@click.option("--drop", multiple=True, help="Names to take out, e.g. 'weigh_head.*'. May be given several times.")
@click.option("--prefix", default="", help="What stands before the network's own names, e.g. 'model.'.")
@force_option
@json_option
def strip(
    weights: Path,
    network: str,
    data: Path,
    out: Path,
    drop: tuple[str, ...],
    prefix: str,
    force: bool,
    as_json: bool,
) -> None:
    """Make a checkpoint of weights trained elsewhere.

    WEIGHTS is a state_dict with training-only parts in it. What --drop takes out is listed, the rest must be exactly
    the network's. `hardedge export` goes on from the checkpoint.

    Example: hardedge strip hl.pth --network mynet:build --data my_data --out runs/hl --drop 'weigh_head.*'
    """
    _require("torch", "train")
    from hardedge.train.stripping import described, strip

    made = strip(weights, network, data, out, drop=drop, prefix=prefix, force=force)
    _print(made, described(made, out), as_json)


@cli.command()
@click.argument("model", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The ONNX file to write.")
@click.option("--keep", "outputs", multiple=True, help="An output that stays. May be given several times.")
@click.option(
    "--size",
    type=click.IntRange(min=1),
    nargs=3,
    default=(1, 512, 1024),
    show_default=True,
    help="Batch, height and width for which multiply-adds are counted.",
)
@json_option
def keep(model: Path, out: Path, outputs: tuple[str, ...], size: tuple[int, int, int], as_json: bool) -> None:
    """Cut an ONNX file down to the outputs that ship.

    For files from elsewhere with training-only outputs: nodes and weights that no kept output needs are removed and
    listed.

    Example: hardedge keep theirs.onnx --keep logits --out plain.onnx
    """
    from hardedge.export.keeping import described, keep_outputs

    kept = keep_outputs(model, outputs, out, size)
    _print(kept, described(kept, out), as_json)


@cli.command()
@click.argument("bundle", type=FOLDER)
@click.argument("checkpoint", type=FOLDER)
@json_option
def certify(bundle: Path, checkpoint: Path, as_json: bool) -> None:
    """Issue the identity certificate anew.

    Compares the bundle's file with the checkpoint's plain network, exported in a new process; exit code 1 when they
    differ.

    Example: hardedge certify runs/a_bundle runs/a
    """
    _require("torch", "export")
    from hardedge.contracts import Bundle, load
    from hardedge.export.identity import certify

    manifest = load(Bundle, bundle)
    certificate = certify(bundle / manifest.model("fp32").path, checkpoint)
    lines = [f"level {number}: {level.status} ({level.detail})" for number, level in _levels(certificate)]
    _print(certificate, "\n".join(lines), as_json)
    if "different" in (certificate.level0.status, certificate.level1.status):
        raise GateFailed(f"{bundle} is not the plain network of {checkpoint}. Export it again from that checkpoint.")


@cli.command()
@click.argument("bundle", type=FOLDER)
@data_option
@out_option
@target_option
@precision_option("Which of the bundle's ONNX files to build, as a list: fp32,int8,mixed ...")
@build_options
@verify_options
@force_option
@json_option
def deploy(
    bundle: Path,
    data: Path,
    out: Path,
    targets: tuple[str, ...],
    precision: str,
    optimization_level: int | None,
    workspace: int | None,
    version_compatible: bool,
    hardware_compatible: bool,
    no_heal: bool,
    cache: Path | None,
    latency: float,
    force: bool,
    as_json: bool,
    **gates: Any,
) -> None:
    """Build engines and verify them.

    Reads a bundle, writes OUT/engines and OUT/report. Without --target: all that can be built here.

    Example: hardedge deploy runs/a_bundle --data my_data --out runs/a_deploy --target tensorrt-rtx:sm86,sm89
    """
    from hardedge import pipeline
    from hardedge.deploy.precision import DEPLOYED, engines_to_build, parse_precisions

    precisions = parse_precisions(precision, DEPLOYED)
    engines = engines_to_build(_targets(targets) or pipeline.default_targets(), precisions)
    order = _order(optimization_level, workspace, version_compatible, hardware_compatible, no_heal, cache)
    report = pipeline.deploy(bundle, data, out, engines, gates=_gates(gates), latency=latency, order=order, force=force)
    _finish(report, out / "report", as_json)


@cli.command()
@click.argument("bundle", type=FOLDER)
@click.argument("engines", type=FOLDER, nargs=-1, required=True)
@click.option("--data", type=FOLDER, help="The data set's folder; without it only the golden images are replayed.")
@out_option
@verify_options
@force_option
@json_option
def verify(
    bundle: Path,
    engines: tuple[Path, ...],
    data: Path | None,
    out: Path,
    latency: float,
    force: bool,
    as_json: bool,
    **gates: Any,
) -> None:
    """Verify engines that are already built.

    For the device that holds them; writes the report to OUT.

    Example: hardedge verify runs/a_bundle runs/a_deploy/engines/onnxruntime-cpu --data my_data --out report
    """
    from hardedge.deploy.verify import verify

    report = verify(bundle, engines, data, out, gates=_gates(gates), latency_seconds=latency, force=force)
    _finish(report, out, as_json)


@cli.command()
@click.argument("bundle", type=FOLDER)
@target_option
@precision_option("Which of the bundle's ONNX files to time, as a list: fp32,int8 ...")
@click.option("--time", "seconds", type=Duration(), default="30s", show_default=True, help="How long to measure.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images in one run.")
@build_options
@json_option
def bench(
    bundle: Path,
    targets: tuple[str, ...],
    precision: str,
    seconds: float,
    batch: int,
    optimization_level: int | None,
    workspace: int | None,
    version_compatible: bool,
    hardware_compatible: bool,
    no_heal: bool,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Time engines on this machine.

    Percentiles, images per second, copies and memory of each; then each over the first, interleaved, with an interval.
    Without --target: onnxruntime:cpu.

    Example: hardedge bench runs/a_bundle --target onnxruntime:cpu --precision fp32,int8 --time 1m
    """
    from hardedge.deploy import bench as benches
    from hardedge.deploy.precision import DEPLOYED, engines_to_build, parse_precisions

    pairs = engines_to_build(_targets(targets) or ("onnxruntime:cpu",), parse_precisions(precision, DEPLOYED))
    order = _order(optimization_level, workspace, version_compatible, hardware_compatible, no_heal, cache)
    found = benches.bench(bundle, pairs, seconds=seconds, batch=batch, order=order)
    _print(found, benches.described(found), as_json)


@cli.command()
@click.argument("bundle", type=FOLDER)
@click.argument("images", type=FOLDER, nargs=-1, required=True)
@out_option
@click.option("--target", default="onnxruntime:cpu", show_default=True, help="onnxruntime:cpu or onnxruntime:cuda.")
@force_option
def predict(bundle: Path, images: tuple[Path, ...], out: Path, target: str, force: bool) -> None:
    """Segment images, given as files or folders.

    Writes OUT/masks (palette PNG of class indices) and OUT/overlays.

    Example: hardedge predict runs/a_bundle photo.jpg more_photos --out segmented
    """
    from hardedge.deploy.predict import predict

    for path in predict(bundle, images, out, target=target, force=force):
        click.echo(path)


@cli.command()
@json_option
def models(as_json: bool) -> None:
    """List the networks.

    With their parameters, their multiply-adds at 512x1024, and the extra that installs them.

    Example: hardedge models --json
    """
    _require("torch", "train")
    from hardedge.models.census import described, network_table

    table = network_table()
    _print(table, described(table), as_json)


@cli.command()
@json_option
def recipes(as_json: bool) -> None:
    """List the recipes.

    With what each trains, and the published mIoU beside ours (--json has it all; docs/recipes.md is the table).

    Example: hardedge recipes
    """
    _require("torch", "train")
    from hardedge.train.recipes import RECIPES
    from hardedge.train.recipes.listing import described, recipe_table

    table = recipe_table(RECIPES.values())
    _print(table, described(table), as_json)


@cli.command()
@click.argument("data", type=FOLDER)
@json_option
def check(data: Path, as_json: bool) -> None:
    """Count classes and list every fault of a data set.

    Exit code 2 when there is a fault.

    Example: hardedge check my_data
    """
    from hardedge.data.check import check_dataset, described

    result = check_dataset(data)
    _print(result, described(result), as_json)
    if result.faults:
        sys.exit(2)


@cli.command()
@out_option
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other scenes.")
def scenes(out: Path, seed: int) -> None:
    """Draw the built-in street scenes as a data set folder.

    Example: hardedge scenes --out streets
    """
    from hardedge.data.streets import write_streets

    write_streets(out, seed=seed)
    click.echo(out)


@cli.command()
@click.argument("data", type=FOLDER)
def scribbles(data: Path) -> None:
    """Draw scribbles from a data set's masks.

    Writes DATA/scribbles for the training images: labels of few pixels, to train on with --set labels=scribbles.

    Example: hardedge scribbles my_data
    """
    from hardedge.data.scribbles import write_scribbles

    share = write_scribbles(data)
    click.echo(f"{data / 'scribbles'}: {100 * share:.1f} % of the pixels are labelled")


@cli.command()
@click.argument("data", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The directory to write.")
def prepare(data: Path, out: Path) -> None:
    """Decode a data set once, to train from it faster.

    Writes a data set folder with uncompressed images, for training that waits for large JPEGs or PNGs to be decoded
    (docs/data.md has the figures). It takes several times the space.

    Example: hardedge prepare cityscapes --out prepared
    """
    from hardedge.data.prepare import prepare as write_prepared

    size = write_prepared(data, out)
    click.echo(f"{out}: {size / 1e9:.2f} GB, a data set as it is: hardedge train RECIPE --data {out}")


def main() -> NoReturn:
    """The program: exit codes as the help of `hardedge` says, and no traceback for a user's mistake."""
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill cleans up as Ctrl-C does
    try:
        with disk_errors():
            cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ToldElsewhere as error:
        sys.exit(error.exit_code)
    except HardedgeError as error:
        _fail(error, debug)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. What was finished is kept; run and train go on with --resume.", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(0)


def _fail(error: HardedgeError, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)


def _require(package: str, extra: str) -> None:
    from importlib.util import find_spec

    from hardedge.errors import missing_extra

    if find_spec(package) is None:
        raise missing_extra(package, extra)


def _recipe(name: str, settings: tuple[tuple[str, str], ...]) -> Recipe:
    _require("torch", "train")
    from hardedge.train.recipes import recipe_named

    return recipe_named(name, dict(settings))


def _targets(names: tuple[str, ...]) -> tuple[str, ...]:
    from hardedge.deploy.targets import parse_targets

    return tuple(target for name in names for target in parse_targets(name))


def _gates(options: dict[str, Any]) -> Gates:
    from hardedge.deploy.gates import Gates, read_gates

    path = options.pop("gates_file")
    given = Gates(**options)
    return given.over(read_gates(path)) if path else given


def _order(
    level: int | None, workspace: int | None, versions: bool, hardware: bool, no_heal: bool, cache: Path | None
) -> Order:
    from hardedge.contracts import BuildOptions
    from hardedge.deploy.build_cache import BuildCache
    from hardedge.deploy.plans import Order

    options = BuildOptions(
        optimization_level=level, workspace=workspace, version_compatible=versions, hardware_compatible=hardware
    )
    return Order(options, BuildCache(cache) if cache else None, heal=not no_heal)


def _levels(certificate: Any) -> list[tuple[int, Any]]:
    return list(enumerate((certificate.level0, certificate.level1)))


def _print(result: Any, text: str, as_json: bool) -> None:
    from hardedge.contracts import to_json

    click.echo(to_json(result) if as_json else text, nl=not as_json)


def _finish(report: Report, out: Path, as_json: bool) -> None:
    from hardedge.deploy.summary import summary

    _print(report, summary(report, out), as_json)
    if report.verdict == "fail":
        raise GateFailed(f"verification failed. The report says why: {out / 'report.html'}")
    undecided = [gate.name for gate in report.gates if gate.status != "pass"]
    if undecided:
        raise GateFailed(f"could not decide {', '.join(undecided)}. The report says why: {out / 'report.html'}")
