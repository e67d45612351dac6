"""Do the methods help? Every loss trains the same network for the same steps, with several seeds each.

    python benchmarks/gains.py train DATA --out DIR [--rows ce,ohem] [--seeds 3] [--steps 300] [--size 180x240]
    python benchmarks/gains.py train DATA --out DIR --resume benchmarks/results/camvid --backbone-weights FILE
    python benchmarks/gains.py costs DATA --out DIR --resume benchmarks/results/camvid [--rows ce,ohem] [--seconds 120]
    python benchmarks/gains.py page benchmarks/results docs

`train` goes on where it was stopped: a training from its last evaluation, the rest seed by seed. Several processes with
one --out share the work. The weights of the last step are judged, on the test split, and no row has a setting of its
own but its loss and what that needs. Each training leaves one small JSON in DIR/results, or in the folder of --resume,
whose experiment.json has the settings; there, without --rows and --seeds, the protocol of docs/results.md is worked off
in its order. `costs` times the rows' steps in turns. `page` writes results.md and results.svg.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
from gains_costs import cost_all
from gains_data import prepared
from gains_experiment import FILE, Experiment, result_file
from gains_page import plot, results_page
from gains_rows import ROWS, in_order
from gains_training import RECIPE, Work, judged
from measure import names_among

from hardedge.contracts import read_json, to_json, write_atomically
from hardedge.data import Dataset, open_dataset
from hardedge.errors import BadInput
from hardedge.train.recipes import find_recipe
from hardedge.train.studies.locks import Locks
from hardedge.train.studies.scores import Ints


def started(args: argparse.Namespace) -> Work:
    """The experiment with its data, new or as it was; raises BadInput where it was another one."""
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.resume or args.out / "results"
    results.mkdir(parents=True, exist_ok=True)
    path = results / FILE
    kept = read_json(Experiment, path) if path.is_file() else None
    if args.resume and not kept:
        raise BadInput(f"{path}: no such file. Give a folder of results, or begin one without --resume.")
    size, hold_out = (kept.size, kept.hold_out) if kept and args.resume else (args.size, args.hold_out)
    locks = Locks(args.out / "locks")
    with locks.held(0):
        dataset = prepared(args.data, args.out / "data", size, hold_out)
        experiment = described(args, dataset)
        if kept and args.resume:
            _require_same(kept, experiment, path)
            experiment = kept
        elif kept and kept != experiment:
            raise BadInput(f"{path} is of another experiment than this one. Give its settings, or another --out.")
        else:
            write_atomically(path, to_json(experiment).encode())
    return Work(experiment, dataset, args.backbone_weights, args.out, results, locks)


def described(args: argparse.Namespace, dataset: Dataset) -> Experiment:
    """The experiment that the arguments ask for, on that data."""
    backbone = args.backbone_weights
    return Experiment(
        title=args.title or args.data.resolve().name,
        classes=tuple(info.name for info in dataset.task.classes),
        train_pixels=tuple(pixels_of(dataset, "train").tolist()),
        data_digest=open_dataset(args.data).digest(),
        size=args.size,
        hold_out=args.hold_out,
        part=args.part,
        network=args.network,
        backbone=hashlib.sha256(backbone.read_bytes()).hexdigest() if backbone else "",
        steps=args.steps,
        learning_rate=args.learning_rate,
        batch=args.batch,
        crop=args.crop or args.size or find_recipe(RECIPE, {}).crop,
        channels_last=args.channels_last,
    )


def _require_same(kept: Experiment, given: Experiment, path: Path) -> None:
    """Raises BadInput where the data or the backbone's weights are others than those of the experiment."""
    if (kept.data_digest, kept.train_pixels) != (given.data_digest, given.train_pixels):
        raise BadInput(f"{path} is of other data than what is given. Give the data of {kept.title}.")
    if kept.backbone != given.backbone:
        wanted, found = (each.backbone or "none" for each in (kept, given))
        raise BadInput(f"{path}: the sha256 of --backbone-weights is {wanted} there, {found} here. Give that file.")


def pixels_of(dataset: Dataset, split: str) -> Ints:
    """How many pixels of the split each class has, int64 [C]."""
    counts = np.zeros(256, np.int64)
    for id in dataset.splits[split]:
        counts += np.bincount(dataset.mask(id).reshape(-1), minlength=256)
    return counts[: dataset.task.num_classes]


def train_all(args: argparse.Namespace) -> list[str]:
    """Trains and judges what no other process is at; what failed."""
    work = started(args)
    if args.resume and not args.rows and not args.seeds:
        wanted = in_order()
    else:
        wanted = [(row, seed) for seed in range(args.seeds or 3) for row in args.rows or ROWS]
    failed = []
    for name, seed in wanted:
        place = work.place(name, seed)
        if result_file(work.results, name, seed).is_file() or not work.locks.take(place):
            continue
        try:
            result = judged(ROWS[name], seed, work)
            print(f"{name}, seed {seed}: {result.curve[-1][1]:.1f} % on the validation split", flush=True)
        except (subprocess.CalledProcessError, BadInput) as error:
            failed.append(f"{name}, seed {seed}: {error}")
        finally:
            work.locks.give_back(place)
    return failed


def size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = found.add_subparsers(dest="mode", required=True)
    train, costs = modes.add_parser("train"), modes.add_parser("costs")
    for mode in (train, costs):
        mode.add_argument("data", type=Path)
        mode.add_argument("--out", type=Path, required=True, help="data, checkpoints and other large files")
        mode.add_argument("--resume", type=Path, help="a folder of results: its experiment, and where results go")
        mode.add_argument("--backbone-weights", type=Path, help="a file that the backbone starts from")
        mode.add_argument("--title", help="of the data set in the table; its folder's name by default")
        mode.add_argument("--rows", type=names_among(tuple(ROWS)))
        mode.add_argument("--network", default="deeplabv3plus_resnet18")
        mode.add_argument("--steps", type=int, default=300)
        mode.add_argument("--learning-rate", type=float, default=2e-3)
        mode.add_argument("--batch", type=int, default=4)
        mode.add_argument("--size", type=size, help="HEIGHTxWIDTH to which all images are resized first")
        mode.add_argument("--crop", type=size, help="HEIGHTxWIDTH; the images' by default")
        mode.add_argument("--channels-last", action="store_true")
        mode.add_argument("--part", default="", help="test images whose names begin so are judged apart too")
        mode.add_argument(
            "--hold-out", default="", help="training images whose names begin so are judged, not trained on"
        )
    train.add_argument("--seeds", type=int)
    costs.add_argument("--seconds", type=float, default=120.0)
    page = modes.add_parser("page")
    page.add_argument("results", type=Path)
    page.add_argument("docs", type=Path)
    return found


def main() -> None:
    args = parser().parse_args()
    if args.mode == "page":
        write_atomically(args.docs / "results.md", results_page(args.results).encode())
        write_atomically(args.docs / "results.svg", plot(args.results).encode())
    elif args.mode == "costs":
        cost_all(started(args), args.rows or list(ROWS), args.seconds)
    else:
        failed = train_all(args)
        if failed:
            sys.exit("\n".join(["not finished:", *failed]))


if __name__ == "__main__":
    main()
