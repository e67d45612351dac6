"""What data in shards and prediction on Ray cost against a folder and the local predict; docs/scale.md has the figures.

    python benchmarks/large.py shards --data camvid [--images 50000] [--seconds 20]
    python benchmarks/large.py index [--images 100000000]
    python benchmarks/large.py ray --data camvid --bundle runs/a_bundle [--images 200] [--blocks 2]

- shards: seconds and memory, each in a process of its own, of opening a data set of so many tiny images and finding the
  first of an epoch; training samples a second of the data, in turns, on one thread;
- index: the same of a made-up index of so many images in shards of 1000, and of the order of an epoch;
- ray: `hardedge predict` over so many images of the data, as a process from its start to its end: on one core, on all
  cores, and with --ray local; and the same with one image, which is what the start takes.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from measure import Timing, machine, timed_by_themselves, timings
from scale import write_folder

from hardedge.contracts import read_json, to_json
from hardedge.data import open_dataset
from hardedge.data.sharding import write_shards
from hardedge.data.shards import Shard, ShardIndex, Shards
from hardedge.train.batches.epoch_order import EpochOrder
from hardedge.train.batches.samples import TrainingSamples
from hardedge.train.recipes import find_recipe

CPU = torch.device("cpu")
READ_AT_ONCE = 8
HARDEDGE = str(Path(sys.executable).parent / "hardedge")


def opened(root: Path) -> dict[str, float]:
    """Seconds until the first sample is known, and the growth of this process's memory in MB."""
    recipe = find_recipe("camvid", {})
    before = resident()
    started = time.perf_counter()
    dataset = open_dataset(root)
    opened_s = time.perf_counter() - started
    dataset.digest()
    digested_s = time.perf_counter() - started - opened_s
    TrainingSamples(dataset, recipe).id_at(0)
    grown = resident() - before
    first_s = time.perf_counter() - started - opened_s - digested_s
    return {"open_s": opened_s, "digest_s": digested_s, "first_s": first_s, "memory_mb": grown / 1e6}


def resident() -> int:
    """The memory that this process holds now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def listing(images: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_folder(root / "folder", images)
        started = time.perf_counter()
        write_shards(root / "folder", root / "shards", shard_size=1000)
        print(f"{images} tiny images in shards of 1000: written in {time.perf_counter() - started:.1f} s")
        for form in ("folder", "shards"):
            command = [sys.executable, __file__, "opened", "--data", str(root / form)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            figures = ", ".join(f"{name} {value:.2f}" for name, value in json.loads(told).items())
            print(f"{form:8} {figures}")


def made_up(images: int) -> dict[str, float]:
    """Megabytes of an index of so many images; seconds and memory of reading it, and of an epoch's order."""
    shards = tuple(
        Shard(file=f"train-{number:06d}.tar", images=1000, bytes=10**9, sha256=f"{number:064x}", first=f"{number:064x}")
        for number in range(images // 1000)
    )
    size = (64, 64)
    index = ShardIndex(
        form="hardedge-shards-1", name="made up", scribbles=False, smallest=size, largest=size, splits={"train": shards}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shards.json"
        path.write_text(to_json(index))
        figures = {"index_mb": path.stat().st_size / 1e6}
        told = subprocess.run([sys.executable, __file__, "indexed", "--data", path], capture_output=True, check=True)
    return figures | json.loads(told.stdout)


def indexed(path: Path) -> dict[str, float]:
    """Seconds and megabytes of memory of an index, then of the first image's place in an epoch, and of the next."""
    marks = [(time.perf_counter(), resident())]

    def mark() -> None:
        marks.append((time.perf_counter(), resident()))

    blocks = [shard.images for shard in Shards(path.parent, read_json(ShardIndex, path)).index.splits["train"]]
    mark()
    order = EpochOrder(blocks, seed=0)
    order.place(0, 0)
    mark()
    for turn in range(1, 1001):
        order.place(0, turn)
    mark()
    (read_s, read_b), (order_s, order_b), (thousand_s, _) = (
        (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(marks)
    )
    return {
        "read_s": read_s,
        "read_mb": read_b / 1e6,
        "order_s": order_s,
        "order_mb": order_b / 1e6,
        "next_us": 1e3 * thousand_s,
    }


def reading(data: Path, seconds: float) -> dict[str, Timing]:
    """Training samples of the folder, again, and of shards of 100; a call reads READ_AT_ONCE of them."""
    recipe = find_recipe("camvid", {})
    with tempfile.TemporaryDirectory() as folder:
        write_shards(data, Path(folder) / "shards", shard_size=100)
        forms = {"folder": data, "folder again": data, "shards": Path(folder) / "shards"}
        arms = {}
        for name, root in forms.items():
            samples, places = TrainingSamples(open_dataset(root), recipe), iter(range(10**9))
            arms[name] = partial(_read, samples, places)
        return timings(arms, "folder", seconds, CPU)


def _read(samples: TrainingSamples, places: Iterator[int]) -> None:
    for _ in range(READ_AT_ONCE):
        samples[next(places)]


def predicting(data: Path, bundle: Path, images: int, blocks: int) -> dict[str, Timing]:
    paths = [path for path in sorted((data / "images").iterdir()) if path.suffix in (".png", ".jpg")][:images]
    with tempfile.TemporaryDirectory() as folder:
        given, one = Path(folder) / "images", Path(folder) / "one"
        for where, chosen in ((given, paths), (one, paths[:1])):
            where.mkdir()
            for path in chosen:
                shutil.copy(path, where / path.name)
        predict = partial(_predict, bundle, Path(folder) / "out")
        arms = {
            "local": partial(predict, given, ()),
            "local, one core": partial(predict, given, (), ("taskset", "-c", "0")),
            "ray local": partial(predict, given, ("--ray", "local")),
            "local, one image": partial(predict, one, ()),
            "ray local, one image": partial(predict, one, ("--ray", "local")),
        }
        return timed_by_themselves(arms, "local", blocks)


def _predict(bundle: Path, out: Path, images: Path, options: tuple[str, ...], before: tuple[str, ...] = ()) -> float:
    started = time.perf_counter()
    command = [*before, HARDEDGE, "predict", str(bundle), str(images), "--out", str(out), *options]
    subprocess.run(command, capture_output=True, check=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(out)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="What shards and Ray cost.")
    parser.add_argument("what", choices=["shards", "index", "ray", "opened", "indexed"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--blocks", type=int, default=2)
    args = parser.parse_args()
    if args.what in ("opened", "indexed"):
        print(json.dumps((opened if args.what == "opened" else indexed)(args.data)))
        return
    print(", ".join(f"{name} {value}" for name, value in machine(CPU).items()))
    if args.what == "index":
        print(", ".join(f"{name} {value:.2f}" for name, value in made_up(args.images or 10**8).items()))
        return
    if args.what == "shards":
        listing(args.images or 50_000)
        found, each = reading(args.data, args.seconds), READ_AT_ONCE
    else:
        each = args.images or 200
        found = predicting(args.data, args.bundle, each, args.blocks)
    for name, timing in found.items():
        rate = (1 if "one image" in name else each) * 1000 / timing.ms
        ratio = f"{timing.ratio:.2f} [{timing.low:.2f}, {timing.high:.2f}]"
        print(f"{name:22} {timing.ms:8.0f} ms, {rate:6.2f} images/s, {ratio}")


if __name__ == "__main__":
    main()
