"""Commands on data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, json_option, out_option
from hardedge.cli.parts import guard_imports, print_result


@command()
@click.argument("data", type=FOLDER)
@json_option
def check(data: Path, as_json: bool) -> None:
    """Count classes and list every fault of a data set.

    Exit code 2 when there is a fault.

    Example: hardedge check my_data
    """
    from hardedge.data.checking.check import check_dataset, check_text

    result = check_dataset(data)
    print_result(result, check_text(result), as_json)
    if result.faults:
        sys.exit(2)


@command()
@out_option
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other scenes.")
@json_option
def scenes(out: Path, seed: int, as_json: bool) -> None:
    """Draw the built-in street scenes as a data set folder.

    Example: hardedge scenes --out streets
    """
    from hardedge.data.streets.write import write_streets

    write_streets(out, seed=seed)
    print_result({"data": str(out), "seed": seed}, str(out), as_json)


@command()
@click.argument("data", type=FOLDER)
@json_option
def scribbles(data: Path, as_json: bool) -> None:
    """Draw scribbles from a data set's masks.

    Writes DATA/scribbles for the training images: labels of few pixels, to train on with --set labels=scribbles.

    Example: hardedge scribbles my_data
    """
    from hardedge.data.scribbles import write_scribbles

    share, written = write_scribbles(data), data / "scribbles"
    text = f"{written}: {100 * share:.1f} % of the pixels are labelled"
    print_result({"scribbles": str(written), "labelled_share": share}, text, as_json)


@command()
@click.argument("data", type=FOLDER)
@out_option
@click.option("--shards", type=click.IntRange(min=1), help="Write shards instead: the training split as so many tars.")
@click.option("--shard-size", type=click.IntRange(min=1), help="Write shards instead: tars of so many images each.")
@json_option
def prepare(data: Path, out: Path, shards: int | None, shard_size: int | None, as_json: bool) -> None:
    """Decode a data set once, or write it in shards.

    Writes a data set folder with uncompressed images, for training that waits for large JPEGs or PNGs to be decoded
    (docs/data.md has the figures); it takes several times the space. With --shards or --shard-size: WebDataset tars of
    the files as they are, for more images than a folder can hold.

    Example: hardedge prepare cityscapes --out prepared

    Example: hardedge prepare cityscapes --shard-size 1000 --out sharded
    """
    if shards and shard_size:
        raise click.UsageError("--shards and --shard-size say the same: how large a shard is. Give one of them.")
    size = _write_shards(data, out, shards, shard_size) if shards or shard_size else _decode_all(data, out)
    text = f"{out}: {size / 1e9:.2f} GB, a data set as it is: hardedge train RECIPE --data {out}"
    print_result({"data": str(out), "bytes": size}, text, as_json)


def _decode_all(data: Path, out: Path) -> int:
    from hardedge.data.prepare import prepare as write_prepared

    return write_prepared(data, out)


def _write_shards(data: Path, out: Path, shards: int | None, shard_size: int | None) -> int:
    with guard_imports("shards", "webdataset"):
        from hardedge.data.sharding import write_shards
    index = write_shards(data, out, shards=shards, shard_size=shard_size)
    return sum(shard.bytes for each in index.splits.values() for shard in each)
