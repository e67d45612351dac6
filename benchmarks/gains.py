"""Do the methods help? Every loss trains the same network for the same steps, with several seeds each.

    python benchmarks/gains.py train DATA --out DIR [--rows ce,ohem] [--seeds 3] [--steps 300] [--size 180x240]
    python benchmarks/gains.py costs DIR [--rows ce,ohem] [--seconds 120]
    python benchmarks/gains.py table DIR [DIR ...] > docs/results.md

`train` goes on where it was stopped, seed by seed, and prints the table after each training. Nothing is chosen: the
weights of the last step are judged, on the test split, and no row has a setting of its own but its loss and what that
needs. `costs` times the rows' steps in turns. `table` writes what is there; what was not trained is told too.

One process a directory: a second one would take the first one's trainings for killed ones, and begin them anew.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from gains_rows import ROWS, Row
from gains_table import AGAIN, Cost, Costs, Experiment, Result, page
from measure import allocated_at_most, machine, names_among, timings
from PIL import Image

from hardedge.artefact import staged_directory
from hardedge.contracts import Checkpoint, load, read_json, to_json, write_atomically
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.data.palette import save_mask
from hardedge.data.sampling import nearest
from hardedge.errors import BadInput
from hardedge.export.graph.network import network_from_checkpoint
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.evaluation import device_of
from hardedge.train.loop import new_state, training_step
from hardedge.train.recipes import find_recipe
from hardedge.train.state import TrainingState
from hardedge.train.studies.scores import Ints, count_scores

RECIPE = "camvid"  # what all rows share but for the settings below
ENET = 1.02  # its class weights are 1 / ln(1.02 + the class's share of the pixels)


def resized(data: Path, out: Path, size: tuple[int, int]) -> None:
    """A copy of a data set at another (height, width): images averaged, masks by their nearest pixel."""
    if out.is_dir():
        return
    dataset, (height, width) = open_dataset(data), size
    with staged_directory(out, force=None) as fresh:
        for folder in ("images", "masks", "splits"):
            (fresh / folder).mkdir()
        (fresh / "classes.json").write_text(to_json(dataset.task))
        for split, ids in dataset.splits.items():
            (fresh / "splits" / f"{split}.txt").write_text("\n".join(ids) + "\n")
            for id in ids:
                image_HWC, mask_HW = dataset.pair(id)
                image = Image.fromarray(image_HWC).resize((width, height), Image.Resampling.BOX)
                image.save(fresh / "images" / f"{id}.png")
                save_mask(nearest(mask_HW, size), dataset.task, fresh / "masks" / f"{id}.png")


def started(args: argparse.Namespace) -> tuple[Experiment, Dataset]:
    """The experiment of the directory, new or as it was; raises BadInput where it was another one."""
    args.out.mkdir(parents=True, exist_ok=True)
    data = args.data.resolve()
    if args.size:
        resized(args.data, args.out / "data", args.size)
        data = (args.out / "data").resolve()
    dataset = open_dataset(data)
    experiment = Experiment(
        title=args.title or args.data.resolve().name,
        data=str(data),
        data_digest=dataset.digest(),
        network=args.network,
        steps=args.steps,
        batch=args.batch,
        crop=args.crop or args.size or find_recipe(RECIPE, {}).crop,
        train_pixels=tuple(pixels_of(dataset, "train").tolist()),
        part=args.part,
    )
    path = args.out / "experiment.json"
    if path.is_file() and read_json(Experiment, path) != experiment:
        raise BadInput(f"{path} is of another experiment than this one. Give its settings, or another --out.")
    write_atomically(path, to_json(experiment).encode())
    return experiment, dataset


def pixels_of(dataset: Dataset, split: str) -> Ints:
    """How many pixels of the split each class has, int64 [C]."""
    counts = np.zeros(256, np.int64)
    for id in dataset.splits[split]:
        counts += np.bincount(dataset.mask(id).reshape(-1), minlength=256)
    return counts[: dataset.task.num_classes]


def loss_of(row: Row, experiment: Experiment, out: Path) -> str:
    pixels = np.array(experiment.train_pixels)
    weights = 1 / np.log(ENET + pixels / pixels.sum())
    return row.loss.format(class_weights=tuple(round(float(weight), 3) for weight in weights), edges=out / "edges")


def settings_of(row: Row, seed: int, experiment: Experiment, out: Path) -> dict[str, str]:
    """The recipe's fields as the command line takes them."""
    return {
        "network": experiment.network,
        "loss": loss_of(row, experiment, out),
        "branches": row.branches,
        "labels": row.labels,
        "steps": str(experiment.steps),
        "evaluate_every": str(experiment.steps),
        "keep": "last",
        "batch": str(experiment.batch),
        "crop": ",".join(map(str, experiment.crop)),
        "seed": str(seed),
    }


def trained(row: Row, seed: int, experiment: Experiment, dataset: Dataset, out: Path) -> Path:
    """The checkpoint of one row and seed, from an earlier run or trained now by the command line."""
    checkpoint = out / row.name / str(seed)
    if (checkpoint / Checkpoint.FILE).is_file():
        return checkpoint
    prepare(row, dataset, out)
    shutil.rmtree(checkpoint, ignore_errors=True)  # a training that was killed; it has no step to go on from
    words = [f"{field}={value}" for field, value in settings_of(row, seed, experiment, out).items()]
    command = ["train", RECIPE, "--data", str(dataset.root), "--out", str(checkpoint)]
    command += [word for setting in words for word in ("--set", setting)]
    if row.maps_of:
        maps = trained(ROWS[row.maps_of], seed, experiment, dataset, out)
        command += ["--hardness-maps", str(maps)]
    many = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(row.processes), "-m"]
    program = [sys.executable, "-m", *(many if row.processes > 1 else []), "hardedge"]
    subprocess.run([*program, *command], check=True, stdout=subprocess.DEVNULL)
    return checkpoint


def prepare(row: Row, dataset: Dataset, out: Path) -> None:
    """Makes what the row's loss or labels need beside the data set, once."""
    program = [sys.executable, "-m", "hardedge"]
    if "{edges}" in row.loss and not (out / "edges" / "edge_network.json").is_file():
        command = ["edges", str(dataset.root), "--out", str(out / "edges")]
        subprocess.run([*program, *command], check=True, stdout=subprocess.DEVNULL)
    if row.labels == "scribbles" and not (dataset.root / "scribbles").is_dir():
        subprocess.run([*program, "scribbles", str(dataset.root)], check=True, stdout=subprocess.DEVNULL)


def judged(row: Row, seed: int, experiment: Experiment, dataset: Dataset, out: Path) -> Result:
    """What one row's network of one seed does on the test split, from an earlier run or measured now."""
    path = out / "results" / f"{row.name}-{seed}.json"
    if path.is_file():
        return read_json(Result, path)
    checkpoint = trained(row, seed, experiment, dataset, out)
    manifest = load(Checkpoint, checkpoint)
    network = network_from_checkpoint(checkpoint, manifest).to("cuda" if torch.cuda.is_available() else "cpu")
    ids = dataset.splits["test"]
    part = tuple(id for id in ids if experiment.part and id.startswith(experiment.part))
    rest = tuple(id for id in ids if id not in part)
    result = Result(
        row=row.name,
        seed=seed,
        loss=loss_of(row, experiment, Path()),
        checkpoint=manifest.digest,
        seconds=manifest.seconds,
        machine=machine(next(network.parameters()).device),
        part=count_scores(network, dataset, part),
        rest=count_scores(network, dataset, rest),
    )
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, to_json(result).encode())
    return result


def train_all(args: argparse.Namespace) -> list[str]:
    """Trains and judges seed by seed, so that a part of the table is as good as it can be; what failed."""
    experiment, dataset = started(args)
    failed = []
    for seed in range(args.seeds):
        for name in args.rows:
            try:
                judged(ROWS[name], seed, experiment, dataset, args.out)
            except (subprocess.CalledProcessError, BadInput) as error:
                failed.append(f"{name}, seed {seed}: {error}")
                continue
            print(page([args.out]), flush=True)
    return failed


def cost_all(out: Path, names: list[str], seconds: float) -> None:
    """Measures a step of each row that trains in one process, in turns, on a batch of its own; writes costs.json."""
    experiment = read_json(Experiment, out / "experiment.json")
    rows = {name: ROWS[name] for name in names if ROWS[name].processes == 1 and not ROWS[name].maps_of}
    states = {}
    arms: dict[str, Callable[[], object]] = {}
    for name, row in {"ce": ROWS["ce"], **rows, AGAIN: ROWS["ce"]}.items():
        dataset = open_dataset(Path(experiment.data), row.labels)
        states[name], arms[name] = stepper(settings_of(row, 0, experiment, out), dataset)
        arms[name]()
    device = device_of(states["ce"].training)
    peaks = {name: resident_bytes(states[name]) + allocated_at_most(arms[name], device) for name in arms}
    times = timings(arms, "ce", seconds, device)
    measured = {name: Cost.of(times[name], peaks[name] / peaks["ce"]) for name in arms}
    write_atomically(out / "costs.json", to_json(Costs(rows=measured, machine=machine(device))).encode())


def stepper(settings: Mapping[str, str], dataset: Dataset) -> tuple[TrainingState, Callable[[], object]]:
    """A training, and its step on always the same batch."""
    # a rate of almost 0: none may drift to where another is slow
    recipe = find_recipe(RECIPE, {**settings, "learning_rate": "1e-9"})
    state = new_state(recipe, dataset.task)
    batches = training_batches(TrainingSamples(dataset, recipe), recipe, device_of(state.training), first=0, last=1)
    batch = next(batches)
    return state, lambda: training_step(state, recipe, batch)


def resident_bytes(state: TrainingState) -> int:
    """Weights, statistics and the optimiser's averages."""
    averages = [value for each in state.optimiser.state.values() for value in each.values()]
    tensors = [*state.training.state_dict().values(), *averages]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))


def size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    train = modes.add_parser("train")
    train.add_argument("data", type=Path)
    train.add_argument("--out", type=Path, required=True)
    train.add_argument("--title", help="of the data set in the table; its folder's name by default")
    train.add_argument("--seeds", type=int, default=3)
    train.add_argument("--network", default="deeplabv3plus_resnet18")
    train.add_argument("--steps", type=int, default=300)
    train.add_argument("--batch", type=int, default=4)
    train.add_argument("--size", type=size, help="HEIGHTxWIDTH to which all images are resized first")
    train.add_argument("--crop", type=size, help="HEIGHTxWIDTH; the images' by default")
    train.add_argument("--part", default="", help="test images whose names begin so are judged apart too")
    costs = modes.add_parser("costs")
    costs.add_argument("out", type=Path)
    costs.add_argument("--seconds", type=float, default=120.0)
    for mode in (train, costs):
        mode.add_argument("--rows", type=names_among(tuple(ROWS)), default=list(ROWS))
    table = modes.add_parser("table")
    table.add_argument("experiments", type=Path, nargs="+")
    args = parser.parse_args()
    if args.mode == "costs":
        cost_all(args.out, args.rows, args.seconds)
    elif args.mode == "table":
        print(page(args.experiments), end="")
    else:
        failed = train_all(args)
        if failed:
            sys.exit("\n".join(["not finished:", *failed]))


if __name__ == "__main__":
    main()
