"""Commands that build, verify and run engines, and the whole pipeline."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from hardedge.cli import completion
from hardedge.cli.commands import command
from hardedge.cli.options import (
    FOLDER,
    Duration,
    budget_option,
    build_options,
    data_option,
    force_option,
    foreign_options,
    json_option,
    open_option,
    out_option,
    precision_option,
    resume_option,
    set_option,
    target_option,
    trust_options,
    verify_options,
)
from hardedge.cli.parts import (
    build_request,
    exit_with_verdict,
    gates_from_options,
    onnx_input_spec,
    print_result,
    read_recipe,
    read_targets,
    read_trust_options,
    require_trusted,
)


@command()
@click.argument("recipe", required=False, shell_complete=completion.complete_recipes)
@click.option("--data", type=FOLDER, help="The data set's folder; without it the built-in street scenes are drawn.")
@click.option("--out", type=FOLDER, default=Path("runs/run"), show_default=True, help="The directory to write.")
@set_option
@budget_option
@target_option
@verify_options
@resume_option
@force_option
@open_option
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
    opens: bool,
    as_json: bool,
    **gates: Any,
) -> None:
    """Train, export, build engines, verify them.

    Everything in one command, from labelled images to the report in OUT/report.
    RECIPE is what `hardedge train` takes (default: streets, or camvid with --data).

    Example: hardedge run --data my_data --out runs/mine --budget 20m --max-miou-drop 0.1
    """
    from hardedge import pipeline

    limits, wanted = gates_from_options(gates), read_targets(targets)
    report = pipeline.run(
        out,
        data=data,
        recipe=read_recipe(recipe or ("camvid" if data else "streets"), settings),
        budget=budget,
        targets=wanted,
        gates=limits,
        latency=latency,
        resume=resume,
        force=force,
    )
    exit_with_verdict(report, out / "report", as_json, opens)


@command()
@click.argument("bundle", type=FOLDER)
@data_option
@out_option
@target_option
@precision_option("Which of the bundle's ONNX files to build, as a list: fp32,int8,mixed ...")
@build_options
@click.option("--builds", type=click.IntRange(min=5), metavar="K", help="Compare K builds an arm in the latency test.")
@click.option("--plain", type=FOLDER, help="The plain network's ONNX file: what the latency test compares with.")
@foreign_options
@verify_options
@trust_options
@force_option
@open_option
@json_option
def deploy(
    bundle: Path,
    data: Path,
    out: Path,
    targets: tuple[str, ...],
    precision: str,
    trust: Path | None,
    signed_since: datetime | None,
    latency: float,
    force: bool,
    opens: bool,
    as_json: bool,
    builds: int | None,
    plain: Path | None,
    **rest: Any,
) -> None:
    """Build engines and verify them.

    Reads a bundle, or an ONNX file that someone else exported (with --mean and --std, then: docs/deploy.md). Writes
    OUT/engines and OUT/report. Without --target: all that can be built here.

    Example: hardedge deploy runs/a_bundle --data my_data --out runs/a_deploy --target tensorrt-rtx:sm86,sm89
    """
    from hardedge.deploy import stage
    from hardedge.deploy.precisions import engines_to_build, parse_precisions
    from hardedge.precisions import DEPLOYED

    require_trusted(bundle, trust, signed_since)
    precisions = parse_precisions(precision, DEPLOYED)
    engines = engines_to_build(read_targets(targets) or stage.default_targets(), precisions)
    request, given = build_request(rest), onnx_input_spec(rest)
    limits = gates_from_options(rest)
    plan = stage.DeployPlan(
        engines=engines,
        gates=limits if targets else limits.over(stage.BUILT_ONLY),
        latency=latency,
        request=request,
        compared=stage.Compared(plain, builds),
    )
    report = stage.deploy(bundle, data, out, plan, given=given, force=force)
    exit_with_verdict(report, out / "report", as_json, opens)


@command()
@click.argument("bundle", type=FOLDER)
@click.argument("engines", type=FOLDER, nargs=-1)
@click.option("--data", type=FOLDER, help="The data set's folder; without it only the golden images are replayed.")
@out_option
@verify_options
@trust_options
@force_option
@open_option
@json_option
def verify(
    bundle: Path,
    engines: tuple[Path, ...],
    data: Path | None,
    out: Path,
    latency: float,
    trust: Path | None,
    signed_since: datetime | None,
    force: bool,
    opens: bool,
    as_json: bool,
    **gates: Any,
) -> None:
    """Verify a bundle on the device that holds it.

    Runs engines that are already built, else builds what this machine can run and throws it away at the end; replays
    the golden images, compares with the reference where the test images are given, and writes the report to OUT.

    Example: hardedge verify runs/a_bundle runs/a_deploy/engines/onnxruntime-cpu --data my_data --out report
    """
    from hardedge.deploy.verification.engines_here import engines_or_own
    from hardedge.deploy.verification.stage import verify

    trusted = read_trust_options(trust, signed_since)
    with engines_or_own(bundle, engines, out, trusted, force) as here:
        report = verify(
            *(bundle, here.paths, data, out),
            gates=gates_from_options(gates),
            latency_seconds=latency,
            trust=here.trust,
            built=here.built,
            force=force,
        )
    exit_with_verdict(report, out, as_json, opens)


@command()
@click.argument("bundle", type=FOLDER)
@target_option
@precision_option("Which of the bundle's ONNX files to time, as a list: fp32,int8 ...")
@click.option("--time", "seconds", type=Duration(), default="30s", show_default=True, help="How long to measure.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images in one run.")
@click.option("--out", type=FOLDER, help="A directory to write, with bench.html and bench.json.")
@build_options
@trust_options
@force_option
@json_option
def bench(
    bundle: Path,
    targets: tuple[str, ...],
    precision: str,
    seconds: float,
    batch: int,
    out: Path | None,
    trust: Path | None,
    signed_since: datetime | None,
    force: bool,
    as_json: bool,
    **build: Any,
) -> None:
    """Time engines on this machine.

    Percentiles, images per second, copies, memory and energy of each; then each over the first, interleaved, with an
    interval. --out draws mIoU against latency and size. Without --target: onnxruntime:cpu.

    Example: hardedge bench runs/a_bundle --target onnxruntime:cpu --precision fp32,int8 --time 1m
    """
    from hardedge.artefact import require_free
    from hardedge.deploy.latency import bench as benches
    from hardedge.deploy.precisions import engines_to_build, parse_precisions
    from hardedge.deploy.report.bench_page import write_bench
    from hardedge.precisions import DEPLOYED

    require_trusted(bundle, trust, signed_since)
    pairs = engines_to_build(read_targets(targets) or ("onnxruntime:cpu",), parse_precisions(precision, DEPLOYED))
    request = build_request(build)
    if out:
        require_free(out, force, [bundle])
    found = benches.bench(bundle, pairs, seconds=seconds, batch=batch, request=request)
    if out:
        write_bench(found, out, force)
    print_result(found, benches.bench_text(found), as_json)
