"""Two real processes, as torchrun starts them, with its store but without its agent: only they end themselves."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import TCPStore

from hardedge.contracts import Checkpoint, load
from hardedge.data.opening import open_dataset
from hardedge.data.sharding import write_shards
from hardedge.metrics import score_of
from hardedge.train.batches.samples import TrainingSamples
from hardedge.train.branches import HardnessBranch
from hardedge.train.evaluation import confusion_of
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

Tiny = Callable[..., Recipe]

PLAIN = """
from torch import nn

def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, num_classes, 1),
    )
"""

MEMBER = """
import json, os, signal, sys
from datetime import timedelta
from pathlib import Path
os.environ |= environment
os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
sys.path.insert(0, folder)
import torch
from hardedge.errors import HardedgeError
from hardedge.train import loop, processes
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
torch.set_num_threads(1)
rank = int(os.environ["RANK"])
step = loop.training_step

def at_step(number, act):
    def changed(state, *rest):
        if state.step == number:
            act()
        return step(state, *rest)
    loop.training_step = changed

try:
    exec(body)
    ending = "done"
except HardedgeError as error:
    ending = f"{type(error).__name__}: {error}"
Path(told).write_text(ending)
"""
NAN_FORWARD = """
def nan_forward(forward):
    def changed(self, batch, progress):
        total, terms = forward(self, batch, progress)
        return total * float("nan"), {name: value * float("nan") for name, value in terms.items()}
    return changed
"""
TRAIN = "train(Recipe.from_json(recipe), Path(data), Path(out), resume=resume)"


@dataclass
class Members:
    """Processes that train together, and where each writes how it ended."""

    folder: Path
    started: list[ForkServerProcess] = field(default_factory=list)
    store: TCPStore | None = None

    def start(self, body: str, count: int = 2, **names: Any) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["hardedge.train.stage"])  # torch is imported once for all
        # as torchrun's own: it listens before any process is told its port
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.started.clear()
        for rank in range(count):
            environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.store.port)}
            environment |= {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_RESTART_COUNT": "0"}
            environment |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            own = {"told": str(self._told(rank)), "said": str(self.folder / f"said-{rank}"), "folder": str(self.folder)}
            self._told(rank).unlink(missing_ok=True)
            member = context.Process(
                target=exec, args=(MEMBER, {"environment": environment, "body": body, **own, **names})
            )
            member.start()
            self.started.append(member)

    def _told(self, rank: int) -> Path:
        return self.folder / f"told-{rank}"

    def endings(self) -> list[str]:
        """What each process said at its end, when all have ended by themselves."""
        for member in self.started:
            member.join(300)
            assert member.exitcode is not None, "it hangs"
        return [
            self._told(rank).read_text() if self._told(rank).is_file() else str(member.exitcode)
            for rank, member in enumerate(self.started)
        ]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    group = Members(tmp_path)
    yield group
    for member in group.started:
        member.kill()
        member.join()


@pytest.fixture
def plain_recipe(tiny_recipe: Tiny, tmp_path: Path) -> Tiny:
    """A recipe that does not depend on which images a process has: no BatchNorm, no dropout, a synchronised loss."""
    (tmp_path / "plain_layers.py").write_text(PLAIN)

    def changed(**changes: Any) -> Recipe:
        plain = {"network": "plain_layers:build", "optimiser": "sgd", "learning_rate": 0.05, "batch": 4}
        return tiny_recipe(**{**plain, "loss": parse_loss("ce(sync=true)"), **changes})

    return changed


def by_two(members: Members, recipe: Recipe, data: Path, out: Path, before: str = "", **names: Any) -> list[str]:
    """How two processes ended that trained the recipe; `before` is what they do first."""
    named = {"recipe": recipe.to_json(), "data": str(data), "out": str(out), "resume": False, **names}
    members.start(f"{before}\n{TRAIN}", **named)
    return members.endings()


def require_close(ours: Path, theirs: Path) -> None:
    """Sums of float32 in another order: a relative error of about 1e-7 in each of 20 steps, and what grows of it."""
    for name in ("last.safetensors", "training_only.safetensors"):
        mine, yours = load_file(ours / name), load_file(theirs / name)
        assert mine.keys() == yours.keys()
        for key in mine.keys() - {key for key in mine if key.endswith("num_batches_tracked")}:
            torch.testing.assert_close(mine[key], yours[key], rtol=1e-4, atol=1e-5)


def scores(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "miou" in line]


def test_two_processes_are_one_with_the_combined_batch(
    members: Members, plain_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipe = plain_recipe(ema=0.9)
    (tiny_dataset / "splits/val.txt").write_text("scene004\nscene005\nscene006\n")  # no multiple of two
    (tiny_dataset / "splits/test.txt").write_text("scene007\nscene008\n")
    assert by_two(members, recipe, tiny_dataset, tmp_path / "two") == ["done", "done"]
    made = train(recipe, tiny_dataset, tmp_path / "one")
    assert made is not None
    require_close(tmp_path / "two", tmp_path / "one")
    ours = load(Checkpoint, tmp_path / "two")
    assert (ours.best_step, ours.validation) == (made.best_step, made.validation)
    assert scores(tmp_path / "two") == scores(tmp_path / "one")
    assert (tmp_path / "said-1").read_text() == ""


def test_two_processes_read_each_image_of_shards_once(
    members: Members, plain_recipe: Tiny, make_tiny_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    write_shards(make_tiny_dataset(tmp_path / "tiny", train=18, val=3), tmp_path / "sharded", shard_size=1)
    recipe = plain_recipe(steps=6, evaluate_every=3, batch=6)
    watches = """
def watched(state, recipe, batch):
    with open(f"{folder}/seen-{rank}", "a") as seen: print(*batch.ids, file=seen)
    return step(state, recipe, batch)
step, loop.training_step = loop.training_step, watched
"""
    assert by_two(members, recipe, tmp_path / "sharded", tmp_path / "two", watches) == ["done", "done"]
    train(recipe, tmp_path / "sharded", tmp_path / "one")
    require_close(tmp_path / "two", tmp_path / "one")
    assert scores(tmp_path / "two") == scores(tmp_path / "one")  # each validation image is counted once
    seen = [(tmp_path / f"seen-{rank}").read_text().splitlines() for rank in range(2)]
    for epoch in (slice(0, 3), slice(3, 6)):
        ids = " ".join([*seen[0][epoch], *seen[1][epoch]]).split()
        assert sorted(ids) == sorted(open_dataset(tmp_path / "tiny").splits["train"])


@pytest.mark.parametrize("loss", ["ce", "ce + hardness@0.5"])
def test_two_processes_are_one_that_accumulates_the_same_parts(
    members: Members, tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, loss: str
) -> None:
    branches = (HardnessBranch(tap="2"),) if "hardness" in loss else ()
    recipe = tiny_recipe(loss=parse_loss(loss), branches=branches, batch=4, optimiser="sgd", learning_rate=0.05)
    assert by_two(members, recipe, tiny_dataset, tmp_path / "two") == ["done", "done"]
    train(replace(recipe, accumulate=2), tiny_dataset, tmp_path / "one")
    require_close(tmp_path / "two", tmp_path / "one")


def test_each_image_is_counted_once(members: Members, tiny_dataset: Path, tmp_path: Path) -> None:
    body = """
import torch
from hardedge.data.opening import open_dataset
from hardedge.metrics import score_of
from hardedge.train.evaluation import validate

def build():
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, 3, 3, padding=1)

with processes.process_group():
    dataset = open_dataset(Path(data))
    for split, ids in dict(dataset.splits).items():
        dataset.splits["val"] = ids
        score = validate(build(), dataset).score
        Path(f"{folder}/{split}-{rank}.json").write_text(json.dumps([score.miou, score.per_class]))
"""
    members.start(body, count=3, data=str(tiny_dataset))  # two images in val: one process has none
    assert members.endings() == ["done"] * 3
    dataset = open_dataset(tiny_dataset)
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    for split in ("train", "val", "test"):
        score = score_of(confusion_of(network, dataset, dataset.splits[split]), dataset.task)
        for rank in range(3):
            found = json.loads((tmp_path / f"{split}-{rank}.json").read_text())
            assert found == [score.miou, score.per_class]


def test_when_one_dies_the_other_ends_and_any_number_goes_on(
    members: Members, plain_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipe, out = plain_recipe(), tmp_path / "out"
    train(recipe, tiny_dataset, tmp_path / "whole")
    dies = "if rank == 1: at_step(7, lambda: os.kill(os.getpid(), signal.SIGKILL))"
    first, second = by_two(members, recipe, tiny_dataset, out, dies)
    assert first.startswith("Unavailable: process 0 of 2 (counted from 0) lost another process of this training (")
    assert first.endswith("Start all of them again with --resume.")
    assert second == str(-signal.SIGKILL)
    stopped = tmp_path / "stopped"
    shutil.copytree(out, stopped)
    train(recipe, tiny_dataset, out, resume=True)
    require_close(out, tmp_path / "whole")
    assert by_two(members, recipe, tiny_dataset, stopped, resume=True) == ["done", "done"]
    require_close(stopped, tmp_path / "whole")
    assert scores(stopped) == scores(out) == scores(tmp_path / "whole")


def test_two_go_on_bit_for_bit_as_two(members: Members, plain_recipe: Tiny, tiny_dataset: Path, tmp_path: Path) -> None:
    recipe = plain_recipe(ema=0.9)
    assert by_two(members, recipe, tiny_dataset, tmp_path / "whole") == ["done", "done"]
    stops = "def stop(): raise HardedgeError('stopped')\nat_step(12, stop)"
    assert by_two(members, recipe, tiny_dataset, tmp_path / "out", stops) == ["HardedgeError: stopped"] * 2
    assert by_two(members, recipe, tiny_dataset, tmp_path / "out", resume=True) == ["done", "done"]
    for name in ("weights.safetensors", "last.safetensors", "metrics.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_process_that_hangs_is_not_waited_for(
    members: Members, plain_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    """The wait is made short only then: before, a busy machine may keep one process waiting for the other."""
    body = f"""
from torch.distributed import distributed_c10d
def soon(): distributed_c10d._set_pg_timeout(timedelta(seconds=2))
def stop(): os.kill(os.getpid(), signal.SIGSTOP)
at_step(7, stop if rank else soon)
{TRAIN}
"""
    names = {"recipe": plain_recipe().to_json(), "data": str(tiny_dataset), "out": str(tmp_path / "out")}
    members.start(body, resume=False, **names)
    members.started[0].join(300)
    assert (tmp_path / "told-0").read_text().startswith("Unavailable: process 0 of 2 (counted from 0) lost another")
    assert members.started[1].is_alive()  # stopped as it is


def test_what_is_wrong_in_one_process_is_told_by_the_first(
    members: Members, plain_recipe: Tiny, tiny_dataset: Path, tmp_path: Path
) -> None:
    recipe = plain_recipe()
    elsewhere = "ReportedElsewhere: the first process of this training says what is wrong"
    samples = TrainingSamples(open_dataset(tiny_dataset), recipe)
    ids = [samples.id_at(index) for index in range(4)]

    def endings(change: str, recipe: Recipe = recipe) -> list[str]:
        return by_two(members, recipe, tiny_dataset, tmp_path / "out", change)

    first, second = endings("", replace(recipe, batch=5))
    assert (first.split("\n")[0], second) == ("BadInput: recipe tiny cannot be used:", elsewhere)
    nan = "if rank == 1: loop.Objective.forward = nan_forward(loop.Objective.forward)"
    first, second = endings(NAN_FORWARD + nan)
    assert first.startswith(
        f"BadInput: step 0: the loss is not finite (loss nan, ce nan) on the images {', '.join(ids)}"
    )
    assert second == elsewhere
    path = tiny_dataset / "images" / f"{ids[2]}.png"  # the second process's
    path.write_bytes(path.read_bytes()[:200])
    assert not (tmp_path / "out").exists()  # no step was made
    first, second = endings("")
    assert first.startswith(f"BadInput: {path} cannot be read as an image")
    assert second == elsewhere


@pytest.mark.slow  # starts torchrun; processes are tested beside it
def test_torchrun_trains_and_speaks_once(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "plain_layers.py").write_text(PLAIN)
    settings = ["network=plain_layers:build", "loss=ce", "branches=", "steps=4", "crop=32,48", "evaluate_every=2"]
    command = [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node", "2", "-m", "hardedge", "train"]
    command += ["streets", "--data", str(tiny_dataset), "--out", "out"]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = load(Checkpoint, tmp_path / "out")
    assert done.stdout == f"out: 4 steps, validation mIoU {made.validation.miou:.2f} %\n"
    assert done.stderr.count("2 processes, 2 of the 4 images of a step each") == 1
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr.count("Error: out exists. Give another --out, or --force to replace it.") == 1
