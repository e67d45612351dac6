"""Who else is told of a training, beside TensorBoard: Weights & Biases and MLflow.

Each is told in a thread of its own, so that a training waits for no network, and one that fails is left out from then
on. Whom they report to and as whom is their own environment variables' business (WANDB_..., MLFLOW_...).
"""

import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from hardedge.console import note
from hardedge.contracts import Checkpoint, Contract, Json, read_json, to_json, write_atomically
from hardedge.errors import BadInput, first_line, missing_extra
from hardedge.train import processes

PATIENCE = 60.0  # seconds at the end of a training for what a tracker has not sent yet
TRACKED = "state/tracked.json"


@dataclass(frozen=True, kw_only=True)
class Tracked(Contract):
    """The name under which trackers know a training, so that one that is resumed goes on as the same."""

    id: str


class Tracker(ABC):
    """One run of a tracking tool."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values of a step, by the names that TensorBoard has them under."""

    @abstractmethod
    def summary(self, metrics: Mapping[str, float], digests: Mapping[str, str]) -> None:
        """What the finished training scored, and what its files are known by."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """Ends the run."""


class Wandb(Tracker):
    """A run of Weights & Biases, of the project `hardedge` unless WANDB_PROJECT names another."""

    def __init__(self, id: str, name: str, config: Mapping[str, Json]) -> None:
        import os

        import wandb

        # nothing of it on stdout, nothing of the user's code or terminal in it
        settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False, init_timeout=30)
        project = None if os.environ.get("WANDB_PROJECT") else "hardedge"
        self._run = wandb.init(
            project=project, id=id, resume="allow", name=name, config=dict(config), settings=settings
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def summary(self, metrics: Mapping[str, float], digests: Mapping[str, str]) -> None:
        self._run.summary.update({**metrics, **{f"sha256/{name}": digest for name, digest in digests.items()}})

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class Mlflow(Tracker):
    """A run of MLflow, in the experiment that MLFLOW_EXPERIMENT_NAME names; its calls are of one thread."""

    def __init__(self, id: str, name: str, config: Mapping[str, Json]) -> None:
        import mlflow

        self._mlflow = mlflow
        tag = "hardedge.training"
        found = mlflow.search_runs(filter_string=f"tags.`{tag}` = '{id}'", output_format="list")
        if found:
            mlflow.start_run(run_id=found[0].info.run_id)
        else:
            mlflow.start_run(run_name=name, tags={tag: id})
            mlflow.log_params({_allowed_name(field): str(value)[:6000] for field, value in config.items()})

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics({_allowed_name(name): value for name, value in values.items()}, step=step)

    def summary(self, metrics: Mapping[str, float], digests: Mapping[str, str]) -> None:
        self._mlflow.log_metrics({_allowed_name(name): value for name, value in metrics.items()})
        self._mlflow.set_tags({f"sha256.{name}": digest for name, digest in digests.items()})

    def close(self, *, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


def _allowed_name(name: str) -> str:
    """A name as MLflow takes it: letters, digits, and some marks."""
    return re.sub(r"[^/\w.\- :]", "_", name)


TRACKERS: dict[str, tuple[type[Tracker], str]] = {"wandb": (Wandb, "wandb"), "mlflow": (Mlflow, "mlflow")}


def require_trackers(names: Sequence[str]) -> None:
    """Raises BadInput for a tracker that is not known, Unavailable for one whose extra is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise BadInput(f"tracker {name} is not known. Give one of: {', '.join(TRACKERS)}.")
        if find_spec(TRACKERS[name][1]) is None:
            raise missing_extra(TRACKERS[name][1], name)


class Follower:
    """One tracker in its thread; the first error is told, and then it is told nothing more."""

    def __init__(self, name: str, begin: Callable[[], Tracker]) -> None:
        self._name = name
        self._todo: SimpleQueue[Callable[[Tracker], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._follow, args=(begin,), name=f"track {name}", daemon=True)
        self._thread.start()

    def tell(self, do: Callable[[Tracker], None]) -> None:
        self._todo.put(do)

    def end(self) -> None:
        """Ends the thread when it has told what it was given."""
        self._todo.put(None)

    def wait(self, until: float) -> None:
        """Waits for that, not beyond a time of the monotonic clock."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            note(f"{self._name} did not take all in {PATIENCE:.0f} s after the training: it is not waited for")

    def _follow(self, begin: Callable[[], Tracker]) -> None:
        try:
            tracker = begin()
            while (do := self._todo.get()) is not None:
                do(tracker)
        except Exception as error:  # whatever a tool of others raises, a training is worth more
            note(f"{self._name} failed ({first_line(error)}): the training goes on without it")


class Followers:
    """All trackers of a training; none in the processes that are not its first."""

    def __init__(self, followers: Sequence[Follower] = ()) -> None:
        self._followers = followers

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        kept = dict(values)
        self._tell(lambda tracker: tracker.scalars(step, kept))

    def finished(self, made: Checkpoint) -> None:
        """Tells what a training made: its scores, and the digests that a bundle and its certificate go back to."""
        metrics = {"validation/miou": made.validation.miou, "best_step": float(made.best_step)}
        metrics |= {f"validation/iou/{name}": v for name, v in made.validation.per_class.items() if v is not None}
        digests = {"checkpoint": made.digest, "data": made.data_digest, "weights": made.files["weights.safetensors"]}
        self._tell(lambda tracker: tracker.summary(metrics, digests | made.inputs))

    def close(self, *, failed: bool) -> None:
        self._tell(lambda tracker: tracker.close(failed=failed))
        for follower in self._followers:
            follower.end()
        until = time.monotonic() + PATIENCE  # of all together
        for follower in self._followers:
            follower.wait(until)

    def _tell(self, do: Callable[[Tracker], None]) -> None:
        for follower in self._followers:
            follower.tell(do)


@contextmanager
def tracked_by(names: Sequence[str], out: Path, name: str, config: Mapping[str, Json]) -> Iterator[Followers]:
    """The trackers of these names, begun in the first process; what was tracked before goes on under its name."""
    if not names or not processes.is_rank_zero():
        yield Followers()
        return
    path = out / TRACKED
    if not path.is_file():
        write_atomically(path, to_json(Tracked(id=secrets.token_hex(8))).encode())
    id = read_json(Tracked, path).id
    followers = Followers(
        [Follower(each, _tracker_factory(TRACKERS[each][0], id, name, config)) for each in dict.fromkeys(names)]
    )
    try:
        yield followers
    except BaseException:
        followers.close(failed=True)
        raise
    followers.close(failed=False)


def _tracker_factory(kind: Any, id: str, name: str, config: Mapping[str, Json]) -> Callable[[], Tracker]:
    return lambda: kind(id, name, config)
