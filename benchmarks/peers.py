"""hardedge beside a plain script and Ultralytics: the same data and machine, and one network for the first two.

    python benchmarks/peers.py [--data DIR] [--ultralytics ENVIRONMENT] [--blocks 5] [--out runs/peers] [--json]

- plain script: benchmarks/peer_plain.py (segmentation-models-pytorch, torch.onnx.export, onnxruntime);
- hardedge: its commands, with the same network of segmentation-models-pytorch; in the loops both run the same weights;
- Ultralytics: `yolo` of a virtual environment that has it, with its own network of the nearest multiply-adds.

First each peer goes from the data folder to one mask with its own commands, once. Then three loops, as processes in
turns (see measure.py): training steps, an image file to its mask in memory, and mIoU of a split. What is timed is from
one printed count to another, without the start of the process and the first counts. The plain script runs twice: the
ratio of the two is the noise. Images are made one size before, which the strides of every network divide.
"""

import argparse
import dataclasses
import json
import re
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from measure import Timing, machine, timed_by_themselves
from peer_commands import BENCHMARKS, Loop, Peer, Task, hardedge, on_the_cpu, plain, same_weights, ultralytics
from peer_table import Results, Sizes, print_tables
from PIL import Image

from hardedge.artefact import staged_directory
from hardedge.console import note
from hardedge.data import Dataset, open_dataset
from hardedge.data.palette import save_mask
from hardedge.data.sampling import nearest
from hardedge.data.streets.write import write_streets
from hardedge.errors import BadInput
from hardedge.graphs.canonical import complexity_of

SMP = "segmentation-models-pytorch"
SKIPPED = 3  # counts before what is timed
FEWEST = 6  # steps of an epoch
LOOPS = {"training step": "steps", "image file to mask": "images", "mIoU, an image": "evaluate"}


def one_size(data: Path, out: Path, size: tuple[int, int], images: dict[str, int]) -> Dataset:
    """The first images of each split in PNG at (height, width), their ignored pixels 255, as a native data set.

    Raises BadInput where a split has fewer.
    """
    source = open_dataset(data)
    for split, count in images.items():
        if len(source.splits[split]) < count:
            found = len(source.splits[split])
            raise BadInput(f"{data}: {found} images in {split}, {count} were asked for. Give fewer --images.")
    height, width = size
    with staged_directory(out, force=True) as folder:
        for name in ("images", "masks", "splits"):
            (folder / name).mkdir()
        classes = [{"name": info.name, "color": list(info.color)} for info in source.task.classes]
        (folder / "classes.json").write_text(json.dumps({"ignore_index": 255, "classes": classes}))
        for split, count in images.items():
            ids = source.splits[split][:count]
            (folder / "splits" / f"{split}.txt").write_text("".join(f"{id}\n" for id in ids))
            for id in ids:
                image_HWC, mask_HW = source.pair(id)
                Image.fromarray(image_HWC).resize((width, height)).save(folder / "images" / f"{id}.png")
                mask_HW = np.where(mask_HW == source.task.ignore_index, np.uint8(255), mask_HW)
                save_mask(nearest(mask_HW, size), source.task, folder / "masks" / f"{id}.png")
    return open_dataset(out)


def seconds_of(command: tuple[str, ...], environment: dict[str, str]) -> float:
    """How long the command takes from its start to its end."""
    began = time.perf_counter()
    told_by(command, environment)
    return time.perf_counter() - began


def told_by(command: tuple[str, ...], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=BENCHMARKS, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    told = done.stdout.decode(errors="replace")
    require_done(command, done.returncode, told)
    return told


def require_done(command: tuple[str, ...], code: int, told: str) -> None:
    if code:
        raise BadInput(f"{' '.join(command)} ended with {code}:\n{told[-2000:]}\nMend that, then run this again.")


def looped(loop: Loop, environment: dict[str, str]) -> tuple[float, str]:
    """The loop's command: seconds from one count to the next, and what it printed."""
    seen: dict[int, float] = {}
    told = ""
    process = subprocess.Popen(
        loop.command, cwd=BENCHMARKS, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    assert process.stdout is not None
    with process:
        while piece := process.stdout.read(1 << 16):
            now = time.perf_counter()
            text = piece.decode(errors="replace")
            told += text
            for done, of in re.findall(loop.counter, text, re.MULTILINE):
                # a bar tells its last count twice: with the last item, and when it is closed
                if SKIPPED <= int(done) < int(of):
                    seen.setdefault(int(done), now)
    require_done(loop.command, process.returncode, told)
    if len(seen) < 2:
        raise BadInput(f"{' '.join(loop.command)} told {len(seen)} counts. Give more --images.")
    first, last = min(seen), max(seen)
    return (seen[last] - seen[first]) / (last - first), told


def miou_of(told: str) -> float:
    """The mIoU in percent that an evaluation printed: our loops, or Ultralytics' table."""
    ours = re.search(r"^mIoU ([\d.]+)$", told, re.MULTILINE)
    theirs = re.search(r"^ +all +\d+ +\d+ +([\d.]+) ", told, re.MULTILINE)
    return float(ours[1]) if ours else 100 * float(theirs[1]) if theirs else float("nan")


def to_a_first_mask(peers: list[Peer]) -> dict[str, dict[str, float]]:
    told: dict[str, dict[str, float]] = {}
    for peer in peers:
        told[peer.name] = {}
        for stage, command in peer.first.items():
            note(f"{peer.name}: {stage}")
            told[peer.name][stage] = seconds_of(command, peer.environment)
    return told


def compared(peers: list[Peer], loop: str, blocks: int) -> dict[str, Timing]:
    def arm(peer: Peer) -> Callable[[], float]:
        return lambda: looped(getattr(peer, loop), peer.environment)[0]

    base = peers[0]
    arms = {base.name: arm(base), f"{base.name} again": arm(base)} | {peer.name: arm(peer) for peer in peers[1:]}
    note(f"{loop}: {blocks} blocks of {2 * len(arms)} processes")
    return timed_by_themselves(arms, base.name, blocks)


def sizes_of(peer: Peer, size: tuple[int, int]) -> Sizes:
    held = complexity_of(onnx.load(peer.artefact), (1, *size))
    return Sizes(held.parameters, held.multiply_adds, peer.artefact.stat().st_size)


def same_mask(task: Task) -> float:
    """The share of the test split's pixels to which hardedge and the plain script give one class."""
    from peer_plain import Model

    from hardedge.deploy.segmenter import Segmenter

    model, equal = Model(task.out / "plain_same.onnx"), []
    with Segmenter.load(task.out / "bundle") as segmenter:
        for id in task.data.splits["test"]:
            path = task.data.image_path(id)
            equal.append(float((segmenter(task.data.image(id)[None])[0] == model.mask(path)).mean()))
    return sum(equal) / len(equal)


def measure(task: Task, peers: list[Peer], blocks: int) -> Results:
    first = to_a_first_mask(peers)
    seconds_of(same_weights(task), on_the_cpu())
    return Results(
        first=first,
        loops={told: compared(peers, loop, blocks) for told, loop in LOOPS.items()},
        miou={peer.name: miou_of(looped(peer.evaluate, peer.environment)[1]) for peer in peers},
        sizes={peer.name: sizes_of(peer, task.size) for peer in peers},
        same_mask=same_mask(task),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="hardedge beside a plain script and Ultralytics, on the CPU.")
    parser.add_argument("--data", type=Path, help="a data set, e.g. CamVid; without it street scenes are drawn")
    parser.add_argument("--ultralytics", type=Path, metavar="ENVIRONMENT", help="a virtual environment that has it")
    parser.add_argument("--network", default="yolo26m-sem.yaml", help="Ultralytics' network, a description")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 320), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--images", type=int, default=48, help="images of the test split, and of the training split")
    parser.add_argument("--batch", type=int, default=4, help="images in a training step")
    parser.add_argument("--epochs", type=int, default=4, help="how long a first mask is trained for")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each loop, each peer twice in a block")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"), help="a new folder to write")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    if any(length % 32 for length in args.size) or args.images % args.batch:
        parser.error("--size takes multiples of 32, --images multiples of --batch")
    if args.images < FEWEST * args.batch:
        parser.error(f"--images: {FEWEST} batches or more, so that there are steps to time")
    if args.ultralytics and not (args.ultralytics / "bin/yolo").is_file():
        parser.error(f"--ultralytics: no bin/yolo in {args.ultralytics}. Make it with benchmarks/peer_install.py")
    if args.out.exists():
        parser.error(f"--out: {args.out} exists. Remove it, or name another folder")
    out = args.out.absolute()
    out.mkdir(parents=True)
    images = {"train": args.images, "val": 4, "test": args.images}
    if args.data is None:
        write_streets(out / "streets", images=images)
    size = tuple(args.size)
    task = Task(one_size(args.data or out / "streets", out / "data", size, images), out, size, args.batch, args.epochs)
    peers = [plain(task), hardedge(task)]
    facts = machine(torch.device("cpu")) | {"onnxruntime": onnxruntime.__version__, SMP: version(SMP)}
    if args.ultralytics:
        peers.append(ultralytics(task, args.ultralytics.absolute(), args.network))
        asked = (str(args.ultralytics.absolute() / "bin/yolo"), "version")
        facts["ultralytics"] = told_by(asked, peers[-1].environment).split()[-1]
    results = measure(task, peers, args.blocks)
    height, width = size
    title = f"{args.data or 'street scenes'}, {args.images} training images of {height}x{width}, batch {args.batch}"
    if args.json:
        print(json.dumps({"machine": facts, **dataclasses.asdict(results)}, indent=1))
    else:
        print_tables(results, facts, title)


if __name__ == "__main__":
    main()
