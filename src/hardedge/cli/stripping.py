"""The command that takes weights trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, Triple, force_option, json_option
from hardedge.cli.parts import guard_imports, print_result
from hardedge.cli.words import require_paths
from hardedge.errors import BadInput

if TYPE_CHECKING:
    from hardedge.contracts import Normalisation

Three = tuple[float, float, float]


@command()
@click.argument("weights", type=FOLDER)
@click.option("--network", help="Its name in `hardedge models`, or package.module:function of your own.")
@click.option("--data", type=FOLDER, help="The data set with the classes that it was trained on.")
@click.option("--out", type=FOLDER, help="The checkpoint directory to write.")
@click.option("--list", "lists", is_flag=True, help="Only show what is in WEIGHTS, and which network it looks like.")
@click.option("--drop", multiple=True, help="Names to take out, e.g. 'weigh_head.*'. May be given several times.")
@click.option("--prefix", default="", help="What stands before the network's own names; recognised without it.")
@click.option("--mean", type=Triple(), help="The images' mean in RGB, in 0..1 or 0..255 (default: ImageNet's).")
@click.option("--std", type=Triple(), help="Their standard deviation, in the same units.")
@force_option
@json_option
def strip(
    weights: Path,
    network: str | None,
    data: Path | None,
    out: Path | None,
    lists: bool,
    drop: tuple[str, ...],
    prefix: str,
    mean: Three | None,
    std: Three | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a checkpoint of weights trained elsewhere.

    WEIGHTS holds a state_dict with training-only parts in it. For the networks of `hardedge models` those are known,
    and so is what stands before the names (module., model.); --drop takes out others. All is listed, and the rest must
    be exactly the network's. `hardedge export` goes on from the checkpoint.

    Example: hardedge strip hl.pth --network mynet:build --data my_data --out runs/hl --drop 'weigh_head.*'
    """
    if not lists and (network is None or data is None or out is None):
        raise click.UsageError("give --network, --data and --out; or --list to see what is in WEIGHTS.")
    require_paths(data=data, out=out, force=force)
    with guard_imports("train", "torch"):
        from hardedge.train.stripping import contents_text, list_contents, strip, stripping_text

    if network is None or data is None or out is None:
        contents = list_contents(weights)
        print_result(contents, contents_text(contents), as_json)
        return
    made = strip(
        weights,
        network,
        data,
        out,
        drop=drop,
        prefix=prefix,
        normalisation=normalisation_of(mean, std),
        force=force,
    )
    print_result(made, stripping_text(made, out), as_json)


def normalisation_of(mean: Three | None, std: Three | None) -> Normalisation | None:
    """The normalisation in 0..1; of numbers above 1, as those of 8-bit pixels. None where nothing was given."""
    from hardedge.contracts import Normalisation

    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise click.UsageError("--mean and --std belong together: give both.")
    if min(std) <= 0:
        raise BadInput(f"--std {','.join(map(str, std))}: expected numbers above 0.")
    unit = 255.0 if max(*mean, *std) > 1 else 1.0
    (red, green, blue), (red_std, green_std, blue_std) = mean, std
    return Normalisation(
        mean=(red / unit, green / unit, blue / unit), std=(red_std / unit, green_std / unit, blue_std / unit)
    )
