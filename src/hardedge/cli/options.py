"""Options and arguments that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hardedge.cli import completion


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


class LocalPath(click.Path):
    """A path of this machine; a URL is refused as it was written, for pathlib makes one slash of its two."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
            camera = " A camera or a stream is given as --camera." if ctx and ctx.info_name == "predict" else ""
            self.fail(
                f"{value!r} is a URL, not a path. Download it, and give the path of the file.{camera}", param, ctx
            )
        return super().convert(value, param, ctx)


FOLDER = LocalPath(path_type=Path)
data_option = click.option("--data", type=FOLDER, required=True, help="The data set's folder.")
out_option = click.option("--out", type=FOLDER, required=True, help="The directory to write.")
force_option = click.option("--force", is_flag=True, help="Replace --out where it exists.")
allow_code_option = click.option(
    "--allow-code", is_flag=True, help="Import the checkpoint's network where it is code of its author's own."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
open_option = click.option("--open", "opens", is_flag=True, help="Open the report when it is written.")
resume_option = click.option("--resume", is_flag=True, help="Go on where an earlier run stopped.")
budget_option = click.option("--budget", type=Duration(), help="Train as many steps as fit this time (10m, 2h).")
set_option = click.option(
    "--set",
    "settings",
    type=Setting(),
    multiple=True,
    help="Change a field of the recipe, e.g. loss='ce + 0.5*cpg'.",
    shell_complete=completion.settings,
)
track_option = click.option(
    "--track",
    type=click.Choice(["wandb", "mlflow"]),
    multiple=True,
    help="Tell Weights & Biases or MLflow too; whom and where, their own environment variables say.",
)
target_option = click.option(
    "--target",
    "targets",
    multiple=True,
    help="onnxruntime:cpu, onnxruntime:cuda, openvino:cpu, tensorrt, tensorrt-rtx:sm86,sm89 ...; repeatable.",
    shell_complete=completion.targets,
)


def precision_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """--precision: names separated by commas, FP32 without it."""
    return click.option(
        "--precision", default="fp32", show_default=True, help=help_text, shell_complete=completion.precisions
    )


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
    for name, what in (
        ("--min-pixel-agreement", "this many percent of the pixels are as in the reference's masks"),
        ("--min-class-iou", "every labelled class has this IoU on the test images, in percent"),
        ("--min-miou", "mIoU on the test images is at least this many percent"),
    ):
        command = click.option(name, type=click.FloatRange(0, 100), help=f"Fail unless {what}.")(command)
    command = click.option(
        "--min-relative-miou",
        type=click.FloatRange(0, 1, min_open=True),
        help="Fail unless mIoU is at least this share of the reference's, e.g. 0.999.",
    )(command)
    command = click.option(
        "--max-class-drop",
        type=click.FloatRange(min=0),
        help="Fail unless the IoU of every labelled class drops by less than this many points.",
    )(command)
    command = click.option(
        "--max-overhead", type=click.FloatRange(min=0), help="Fail unless the overhead is below this many percent."
    )(command)
    command = click.option(
        "--max-unseen",
        type=click.FloatRange(0, 100, min_open=True, max_open=True),
        help="Most percent of such images that may be of a kind no test image is, for a pass (10: 29 images).",
    )(command)
    command = click.option(
        "--forbid-dominated",
        is_flag=True,
        default=None,
        help="Fail where an engine of lower precision is neither smaller nor faster than a better one.",
    )(command)
    command = click.option(
        "--built-only",
        is_flag=True,
        default=None,
        help="Leave engines that do not run on this machine out of the gates; the report names them first.",
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
            click.option("--strip-weights", is_flag=True, help="Plans without weights; they come from the ONNX file."),
            click.option("--dla", type=click.IntRange(min=0), metavar="CORE", help="Run on this DLA core (Jetson)."),
            click.option("--no-heal", is_flag=True, help="Fail where a node would have to stay in FP32."),
            click.option("--cache", type=FOLDER, help="A folder where builds and timings are kept and found again."),
        )
    ):
        command = option(command)
    return command


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """Whose signature is asked for; `trust_of` makes the trust of them."""
    command = click.option(
        "--signed-since",
        type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
        help="With --trust: refuse what was signed before this time (UTC), such as an older release.",
    )(command)
    return click.option("--trust", type=FOLDER, help="Load only what the holder of this public key signed.")(command)


class Triple(click.ParamType[tuple[float, float, float]]):
    """Three numbers, one a channel: R,G,B."""

    name = "r,g,b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r} is not three numbers. Write them as 0.485,0.456,0.406.", param, ctx)
        return numbers


class Size(click.ParamType[tuple[int, int]]):
    """HEIGHTxWIDTH in pixels."""

    name = "heightxwidth"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value))
        if not match:
            self.fail(f"{value!r} is no size. Write it as 512x1024, height first.", param, ctx)
        return int(match[1]), int(match[2])


def foreign_options(command: Callable[..., None]) -> Callable[..., None]:
    """What a user says of an ONNX file that someone else exported."""
    for option in reversed(
        (
            click.option(
                "--mean",
                type=Triple(),
                help="Third-party ONNX models only: the per-channel mean that it expects, in 0..1.",
            ),
            click.option("--std", type=Triple(), help="The same: the per-channel standard deviation."),
            click.option(
                "--channels",
                type=click.Choice(["rgb", "bgr"]),
                help="The same: its channel order (rgb by default), which --mean and --std follow.",
            ),
            click.option("--input-size", type=Size(), help="The same: its input size, if not the image's."),
            click.option(
                "--output",
                "output_name",
                help="The same: which output has the scores or classes, if there are several.",
            ),
        )
    ):
        command = option(command)
    return command
