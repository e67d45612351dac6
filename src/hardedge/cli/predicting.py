"""The command that segments a user's images and videos."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import click

from hardedge.cli import completion
from hardedge.cli.options import FOLDER, force_option, json_option, out_option, trust_options
from hardedge.cli.parts import print_result, trust_of


@click.command()
@click.argument("bundle", type=FOLDER)
@click.argument("inputs", type=FOLDER, nargs=-1, required=True)
@out_option
@click.option("--target", help="onnxruntime:cpu (the default) or onnxruntime:cuda.", shell_complete=completion.targets)
@click.option("--engine", type=FOLDER, help="Run this engine of the bundle instead.")
@click.option(
    "--video",
    type=click.Choice(["overlay", "masks", "both"]),
    default="overlay",
    show_default=True,
    help="What to make of a video: an overlay video, a mask for each frame, or both.",
)
@trust_options
@force_option
@json_option
def predict(
    bundle: Path,
    inputs: tuple[Path, ...],
    out: Path,
    target: str | None,
    engine: Path | None,
    video: Literal["overlay", "masks", "both"],
    trust: Path | None,
    signed_since: datetime | None,
    force: bool,
    as_json: bool,
) -> None:
    """Segment images, folders of images, and videos.

    Writes OUT/masks (palette PNG of class indices) and OUT/overlays. Images and frames that cannot be read are left out
    and named at the end (exit code 2).

    Example: hardedge predict runs/a_bundle photo.jpg more_photos drive.mp4 --out segmented
    """
    from hardedge.deploy.predict import predict

    trusted = trust_of(trust, signed_since)
    made = predict(bundle, inputs, out, engine=engine, target=target, trust=trusted, video=video, force=force)
    paths = [str(path) for path in made]
    print_result({"made": paths}, "\n".join(paths), as_json)
