"""The command that segments a user's images, videos and cameras."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from hardedge.cli import completion
from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, force_option, json_option, trust_options
from hardedge.cli.parts import print_result, read_trust_options


@command()
@click.argument("bundle", type=FOLDER)
@click.argument("inputs", type=FOLDER, nargs=-1)
@click.option("--out", type=FOLDER, default=Path("runs/predict"), show_default=True, help="The directory to write.")
@click.option(
    "--target",
    help="onnxruntime:cpu (the default), onnxruntime:cuda, openvino:cpu ...",
    shell_complete=completion.targets,
)
@click.option("--engine", type=FOLDER, help="Run this engine of the bundle instead.")
@click.option(
    "--video",
    type=click.Choice(["overlay", "masks", "both"]),
    help="What to make of a video: an overlay video, a mask for each frame, or both.  [default: overlay]",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Label images alone, on a Ray cluster: HOST:PORT, auto, or local. Goes on where OUT ended.",
)
@click.option("--camera", metavar="CAMERA", help="Segment a camera: 0, /dev/video0, or the URL of a stream.")
@click.option("--frames", type=click.IntRange(min=1), help="With --camera: how many; without it until Ctrl-C.")
@trust_options
@force_option
@json_option
def predict(
    bundle: Path,
    inputs: tuple[Path, ...],
    out: Path,
    video: Literal["overlay", "masks", "both"] | None,
    ray: str | None,
    camera: str | None,
    frames: int | None,
    trust: Path | None,
    signed_since: datetime | None,
    as_json: bool,
    **run: Any,
) -> None:
    """Segment images, folders of images, videos, or a camera.

    Writes OUT/masks (palette PNG of class indices) and OUT/overlays. Images that cannot be read, or that the bundle has
    no size for, are left out and named at the end (exit code 2). With --camera: its frames, the newest whenever the
    network is free, in OUT/overlays/camera.mp4, until Ctrl-C. With --ray: millions of images on Ray Data, masks alone;
    docs/scale.md.

    Example: hardedge predict runs/a_bundle photo.jpg more_photos drive.mp4 --out segmented

    Example: hardedge predict runs/a_bundle photographs --ray local --out labelled
    """
    _require_one_source(inputs, camera, frames, ray)
    if ray is not None and video is not None:
        raise click.UsageError("--ray makes masks of images: leave --video out.")
    made_of_video = video or "overlay"
    trusted = read_trust_options(trust, signed_since)
    if camera is not None:
        from hardedge.deploy.media.camera import parse_camera
        from hardedge.deploy.prediction.live import predict_camera

        watched = parse_camera(camera)
        recording = predict_camera(bundle, watched, out, frames=frames, video=made_of_video, trust=trusted, **run)
        print_result(recording, "\n".join(recording.made), as_json)
        return
    if ray is not None:
        from hardedge.deploy.prediction.on_ray import predict_on_ray

        labelled = predict_on_ray(bundle, inputs, out, ray, trust=trusted, **run)
        text = f"{labelled.masks}: {labelled.made} masks made, {labelled.there} were there"
        print_result(labelled, text, as_json)
        return
    from hardedge.deploy.prediction.predict import predict

    made = predict(bundle, inputs, out, video=made_of_video, trust=trusted, **run)
    paths = [str(path) for path in made]
    print_result({"made": paths}, "\n".join(paths), as_json)


def _require_one_source(inputs: tuple[Path, ...], camera: str | None, frames: int | None, ray: str | None) -> None:
    if camera is None and not inputs:
        raise click.UsageError("Give images, folders or videos, or --camera.")
    if camera is not None and (inputs or ray is not None):
        raise click.UsageError("Give --camera alone, without images, folders, videos and --ray.")
    if frames is not None and camera is None:
        raise click.UsageError("--frames is for --camera: files end by themselves.")
