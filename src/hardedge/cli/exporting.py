"""Commands of the export stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardedge.cli import completion
from hardedge.cli.commands import command
from hardedge.cli.options import (
    FOLDER,
    allow_code_option,
    data_option,
    force_option,
    json_option,
    out_option,
    precision_option,
)
from hardedge.cli.parts import guard_imports, print_result, read_levels
from hardedge.cli.words import require_paths
from hardedge.errors import GateFailed

if TYPE_CHECKING:
    from hardedge.export.graph.pixels_to_mask import Frontend
    from hardedge.export.precisions.calibration import By


def graph_options(command: Callable[..., None]) -> Callable[..., None]:
    """What the exported graph takes and gives."""
    for option in reversed(
        (
            click.option(
                "--size",
                "sizes",
                multiple=True,
                metavar="HEIGHTxWIDTH",
                help="A fixed image size instead of a range; may be repeated: an optimisation profile each.",
            ),
            click.option(
                "--profile",
                "profiles",
                multiple=True,
                metavar="NAME=MIN:TYPICAL:MAX",
                help="A range of sizes, each BATCHxHEIGHTxWIDTH: small=1x64x64:1x256x256:4x512x512; may be repeated.",
            ),
            click.option(
                "--network-size",
                metavar="HEIGHTxWIDTH",
                help="Resize every image to this size inside the graph, and the logits back to the image's.",
            ),
            click.option(
                "--output",
                "outputs",
                type=click.Choice(["margin", "logits"]),
                multiple=True,
                help="A further output of the graph beside the mask; may be repeated.",
            ),
            click.option(
                "--frontend",
                type=click.Choice(["pixels", "tensor"]),
                default="pixels",
                show_default=True,
                help="tensor: also write model.tensor.onnx, normalised float32 in, logits out, for other runtimes.",
            ),
            click.option("--opset", type=int, default=20, show_default=True, help="The ONNX opset, 18 to 23."),
        )
    ):
        command = option(command)
    return command


@command()
@click.argument("checkpoint", type=FOLDER)
@data_option
@out_option
@graph_options
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
@click.option(
    "--calibration-tile",
    metavar="HEIGHTxWIDTH",
    default="auto",
    show_default=True,
    help="Tiles of so many pixels instead of whole images; whole: never; auto: 512x1024 where images are over 2^20.",
)
@click.option("--components", is_flag=True, help="Add components.cdx.json: files, data and libraries (CycloneDX).")
@allow_code_option
@click.option("--keep-failed", is_flag=True, help="Keep what was written before a failure, in OUT.failed.")
@force_option
@json_option
def export(
    checkpoint: Path,
    data: Path,
    out: Path,
    sizes: tuple[str, ...],
    profiles: tuple[str, ...],
    network_size: str | None,
    outputs: tuple[str, ...],
    frontend: Frontend,
    opset: int,
    precision: str,
    calibrate_by: By,
    calibration_images: int,
    calibration_tile: str,
    components: bool,
    allow_code: bool,
    keep_failed: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the bundle that ships.

    The network as ONNX, reference and golden masks, and the identity certificate. Another --precision than fp32 adds
    a file converted by NVIDIA Model Optimizer, measured against FP32 and built for every target that can hold it.

    Example: hardedge export runs/a --data my_data --out runs/a_bundle --precision fp16,int8
    """
    from hardedge.contracts import Checkpoint
    from hardedge.deploy.precisions import parse_precisions
    from hardedge.export.graph.form import parse_form
    from hardedge.export.precisions.tiles import parse_tile

    names, tile = parse_precisions(precision), parse_tile(calibration_tile)
    form = parse_form(sizes, profiles, network_size, outputs, opset)
    require_paths(data=data, out=out, force=force, checkpoint=(Checkpoint, checkpoint))
    with guard_imports("export", "torch", "onnxscript"):
        from hardedge.export.precisions.table import precisions_text
        from hardedge.export.stage import Precisions, export

    wanted = Precisions(
        names=names,
        calibrate_by=calibrate_by,
        calibration_images=calibration_images,
        calibration_tile=tile,
    )
    bundle = export(
        checkpoint,
        data,
        out,
        form=form,
        precisions=wanted,
        frontend=frontend,
        components=components,
        allow_code=allow_code,
        force=force,
        keep_failed=keep_failed,
    )
    files = [*(model.path for model in bundle.models), *([bundle.tensor.path] if bundle.tensor else [])]
    line = f"{out}: test mIoU {bundle.reference.score.miou:.2f} %, {', '.join(files)}"
    print_result(bundle, f"{precisions_text(bundle)}\n{line}" if wanted.converted else line, as_json)


@command()
@click.argument("bundle", type=FOLDER)
@data_option
@out_option
@click.option(
    "--goal",
    default="miou-drop<=0.2",
    show_default=True,
    help="How far mIoU may fall, in points; or latency<=0.6: most time over FP32's, on the target of --latency.",
)
@click.option(
    "--latency",
    metavar="TARGET",
    help="Time every mixture on a target that runs here, for the plot: onnxruntime:cpu ...",
    shell_complete=completion.targets,
)
@force_option
@json_option
def tune(bundle: Path, data: Path, out: Path, goal: str, latency: str | None, force: bool, as_json: bool) -> None:
    """Find the nodes of the INT8 file that must stay in FP16.

    Takes back as few as meet the goal on the validation split, the most sensitive first, and writes the bundle again
    with model.mixed.onnx (for deploy --precision mixed), tuning.json and pareto.svg: mIoU against latency where
    --latency names a target, else against the share in INT8. Goes on where it was stopped.

    Example: hardedge tune runs/a_bundle --data my_data --out runs/a_tuned --goal 'miou-drop<=0.2'
    """
    from hardedge.contracts import Bundle
    from hardedge.deploy.targets import parse_target
    from hardedge.export.tune.stage import parse_goal, tune

    wanted = parse_goal(goal)
    if latency:
        parse_target(latency)
    require_paths(data=data, out=out, force=force, bundle=(Bundle, bundle))
    with guard_imports("export", "torch"):
        from hardedge.export.precisions.table import precisions_text

    tuned, tuning = tune(bundle, data, out, goal=wanted, latency=latency, force=force)
    line = f"{out}: {tuning.chosen} of {len(tuning.order)} nodes in FP16, {len(tuning.steps)} mixtures measured"
    print_result(tuning, f"{precisions_text(tuned)}\n{line}", as_json)


@command()
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

    Example: hardedge keep trained.onnx --keep logits --out theirs.onnx
    """
    from hardedge.export.keep_outputs import keep_outputs, kept_outputs_text

    kept = keep_outputs(model, outputs, out, size)
    print_result(kept, kept_outputs_text(kept, out), as_json)


@command()
@click.argument("bundle", type=FOLDER)
@click.argument("checkpoint", type=FOLDER)
@allow_code_option
@json_option
def certify(bundle: Path, checkpoint: Path, allow_code: bool, as_json: bool) -> None:
    """Issue the identity certificate anew.

    Compares the bundle's file with the checkpoint's plain network, exported in a new process; exit code 1 when they, or
    their TensorRT-RTX engines, differ.

    Example: hardedge certify runs/a_bundle runs/a
    """
    from hardedge.contracts import Bundle, Checkpoint, load

    require_paths(bundle=(Bundle, bundle), checkpoint=(Checkpoint, checkpoint))
    with guard_imports("export", "torch"):
        from hardedge.console import spinner
        from hardedge.export.identity.certificate import certify

    manifest = load(Bundle, bundle)
    with spinner("identity certificate"):
        certificate = certify(bundle / manifest.model("fp32").path, checkpoint, allow_code=allow_code)
    compared = {f"level {number}": level for number, level in read_levels(certificate)}
    compared["engines"] = certificate.level0.rtx_engines
    lines = [f"{name}: {check.status} ({check.detail})" for name, check in compared.items()]
    print_result(certificate, "\n".join(lines), as_json)
    different = [name for name, check in compared.items() if check.status == "different"]
    if different:
        raise GateFailed(
            f"{bundle} is not the plain network of {checkpoint}: {', '.join(different)} different. "
            "Export it again from that checkpoint."
        )
