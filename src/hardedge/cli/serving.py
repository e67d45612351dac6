"""The command that hands a bundle to a server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardedge.cli import completion
from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, json_option, trust_options
from hardedge.cli.parts import print_result, read_trust_options

if TYPE_CHECKING:
    from hardedge.deploy.triton.config import Kind
    from hardedge.deploy.triton.warm_up import Images

AT_LEAST_ONE = click.IntRange(min=1)


@command()
@click.argument("bundle", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The model repository; other models in it are left alone.")
@click.option("--name", help="The model's name; the bundle's folder's without it.")
@click.option("--version", type=AT_LEAST_ONE, default=1, show_default=True, help="The model's version.")
@click.option(
    "--precision",
    help="Which of the bundle's ONNX files to serve, fp32 without it; tensor: that of --frontend tensor.",
    shell_complete=completion.precisions,
)
@click.option("--engine", type=FOLDER, help="Serve this engine of the bundle instead, built with --target tensorrt.")
@click.option("--instances", type=AT_LEAST_ONE, default=1, show_default=True, help="How many run side by side.")
@click.option(
    "--on",
    "kind",
    type=click.Choice(["auto", "gpu", "cpu"]),
    default="auto",
    show_default=True,
    help="Where they run: an instance on each GPU, or on the CPU; auto: on GPUs where there are any.",
)
@click.option(
    "--preferred-batch", "preferred", type=AT_LEAST_ONE, multiple=True, help="Run a batch of this size at once."
)
@click.option(
    "--queue-delay",
    "delay",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MICROSECONDS",
    help="How long a request waits for others to make a batch with.",
)
@click.option(
    "--serve-latest", "versions", type=AT_LEAST_ONE, default=1, show_default=True, help="How many versions are served."
)
@click.option(
    "--warm-up",
    type=click.Choice(["images", "zeros", "none"]),
    default="images",
    show_default=True,
    help="What a model computes when it is loaded: golden images of the bundle, zeros, or nothing.",
)
@trust_options
@click.option("--force", is_flag=True, help="Replace the version where it exists.")
@json_option
def triton(
    bundle: Path,
    out: Path,
    name: str | None,
    version: int,
    precision: str | None,
    engine: Path | None,
    instances: int,
    kind: Kind,
    preferred: tuple[int, ...],
    delay: int,
    versions: int,
    warm_up: Images,
    trust: Path | None,
    signed_since: datetime | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a model repository for Triton.

    OUT/NAME/VERSION with the bundle's ONNX file or an engine of TensorRT, and OUT/NAME/config.pbtxt with the file's
    tensors, batching, instances and warm-up. Other versions stay. Needs the extra triton.

    Example: hardedge triton runs/a_bundle --out models --name streets --queue-delay 500
    """
    from hardedge.deploy.triton.config import Serving
    from hardedge.deploy.triton.repository import write_model

    if engine is not None and precision is not None:
        raise click.UsageError("Give --engine or --precision, not both: an engine has its own precision.")
    served = write_model(
        bundle,
        out,
        name=name or bundle.resolve().name,
        version=version,
        precision=precision or "fp32",
        engine=engine,
        serving=Serving(instances, kind, preferred, delay, versions),
        warm_up=warm_up,
        trust=read_trust_options(trust, signed_since),
        force=force,
    )
    batch = f"batches up to {served.max_batch_size}" if served.max_batch_size else "a fixed batch"
    place = out / served.name / str(served.version)
    print_result(served, f"{place}: {served.source} for {served.platform}, {batch}", as_json)
