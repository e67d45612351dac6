"""Bringing in data sets of other tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, json_option, out_option
from hardedge.cli.parts import print_result

if TYPE_CHECKING:
    from hardedge.data.importing.source import Options
    from hardedge.data.importing.splits import Splitting

# data/importing/formats has their readers; here by name, as --help imports nothing
FORMATS = (
    *("coco", "coco-panoptic", "labelme", "cvat", "cvat-masks", "label-studio", "supervisely", "roboflow"),
    *("ultralytics", "paddleseg", "mmseg", "colors", "binary", "indices", "huggingface"),
)


class Shares(click.ParamType[dict[str, int]]):
    """TRAIN/VAL/TEST in percent."""

    name = "train/val/test"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:
        match = re.fullmatch(r"(\d{1,3})/(\d{1,3})/(\d{1,3})", str(value))
        shares = [int(share) for share in match.groups()] if match else []
        if sum(shares) != 100 or 0 in shares:
            self.fail(f"{value!r}: expected three shares above 0 that add up to 100, such as 80/10/10.", param, ctx)
        return dict(zip(("train", "val", "test"), shares, strict=True))


class Renaming(click.ParamType[tuple[str, str]]):
    """LABEL=CLASS."""

    name = "label=class"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        label, equals, name = str(value).partition("=")
        if not (label.strip() and equals and name.strip()):
            self.fail(f"{value!r}: expected LABEL=CLASS, such as truck=car.", param, ctx)
        return label.strip(), name.strip()


@command("import")
@click.argument("format", type=click.Choice(FORMATS), metavar="FORMAT")
@click.argument("source", type=FOLDER)
@out_option
@click.option("--add", is_flag=True, help="Add to what an earlier import wrote to --out.")
@click.option("--unlabelled", metavar="CLASS", help="What pixels without a label become: a class, or ignore.")
@click.option("--classes", metavar="NAMES", help="The classes in order: a,b,c or a file with a name a line.")
@click.option("--table", metavar="TABLE", help="Values or colours of masks: 0=void,1=road or a file of such lines.")
@click.option("--map", "renamed", type=Renaming(), multiple=True, help="Make a label this class; repeatable.")
@click.option("--ignore", multiple=True, metavar="LABEL", help="Ignore the pixels of this label; repeatable.")
@click.option("--drop", multiple=True, metavar="LABEL", help="Leave out this label's regions; repeatable.")
@click.option("--order", type=click.Choice(["area", "file", "priority"]), help="What is painted over what.")
@click.option(
    "--boxes",
    type=click.Choice(["ignore", "fill", "drop"]),
    default="ignore",
    show_default=True,
    help="What boxes and rectangles become.",
)
@click.option(
    "--crowds",
    type=click.Choice(["fill", "ignore", "drop"]),
    default="fill",
    show_default=True,
    help="What COCO's crowds become.",
)
@click.option(
    "--interpolated",
    type=click.Choice(["fill", "ignore", "drop"]),
    default="fill",
    show_default=True,
    help="What CVAT drew between key frames becomes.",
)
@click.option("--threshold", type=click.IntRange(1, 255), help="Binary masks: foreground from this value on.")
@click.option("--images", type=FOLDER, help="Where the images are, if not where the format has them.")
@click.option("--masks", type=FOLDER, help="Where the masks are, if not where the format has them.")
@click.option(
    "--exif",
    type=click.Choice(["apply", "note"]),
    default="apply",
    show_default=True,
    help="Turn images as their EXIF orientation says, or only count them.",
)
@click.option("--link", is_flag=True, help="Link to the image files instead of copying them.")
@click.option("--skip-missing", is_flag=True, help="Leave out images whose file or mask is missing.")
@click.option("--split", type=Shares(), help="Deal the images anew, in percent: 80/10/10.")
@click.option(
    "--split-by",
    metavar="FOLDER",
    help="Split by the folder that each image is in (folder), or by a folder's train.txt, val.txt, test.txt.",
)
@click.option(
    "--group-by",
    multiple=True,
    metavar="RULE",
    help="Keep together: folder, time:SECONDS, or a regular expression on names; repeatable.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed deals other splits.")
@json_option
def import_(format: str, source: Path, out: Path, add: bool, as_json: bool, **given: Any) -> None:
    """Import a data set that another tool labelled.

    FORMAT is one of coco, coco-panoptic, labelme, cvat, cvat-masks, label-studio, supervisely, roboflow, ultralytics,
    paddleseg, mmseg, colors (RGB masks), binary (0/255 masks), indices (masks of other values), huggingface;
    docs/import.md has three lines on each. Writes images, masks, splits and a record of where they come from; prints
    what was read, merged, dropped and why. Near duplicates and groups never part.

    Example: hardedge import labelme my_labels --out my_data --unlabelled background

    Example: hardedge import coco my_coco --out my_data --unlabelled ignore --split 80/10/10
    """
    from hardedge.data.importing.recognition import format_named
    from hardedge.data.importing.record import described
    from hardedge.data.importing.stage import import_data

    splitting = _splitting(given)
    record = import_data(format_named(format), source, out, _options(given), splitting, add=add)
    print_result(record, described(record, out), as_json)


def _splitting(given: dict[str, Any]) -> Splitting:
    from hardedge.data.importing.splits import Splitting

    ratios, by = given.pop("split"), given.pop("split_by")
    if ratios and by:
        raise click.UsageError("--split deals the images, --split-by takes splits that are there. Give one of them.")
    return Splitting(ratios=ratios, by=by, group_by=given.pop("group_by"), seed=given.pop("seed"))


def _options(given: dict[str, Any]) -> Options:
    from hardedge.data.importing.documents import lines_of
    from hardedge.data.importing.source import Options
    from hardedge.data.importing.tables import read_table, table_of

    names, table = given.pop("classes"), given.pop("table")
    if names is None:
        classes: list[str] = []
    elif Path(names).is_file():
        classes = [line for _, line in lines_of(Path(names))]
    else:
        classes = [name.strip() for name in names.split(",") if name.strip()]
    entries = () if table is None else read_table(Path(table)) if Path(table).is_file() else table_of(table)
    renamed = dict(given.pop("renamed"))
    return Options(classes=tuple(classes), table=entries, renamed=renamed, **given)
