"""What a training tells: a bar for the person who watches, metrics.jsonl, TensorBoard and trackers for later."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard.writer import SummaryWriter

from hardedge.console import lines_in_pipes, note
from hardedge.contracts import Json, SegmentationScore, write_atomically
from hardedge.train.tracking import Followers

LOG_EVERY = 10
METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class Log:
    """What a training tells in the processes that leave the telling to the first: nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def step(self, step: int, terms: Mapping[str, float], learning_rate: float) -> None:
        """A finished step."""

    def evaluation(self, step: int, score: SegmentationScore, terms: Mapping[str, float]) -> None:
        """A validation's score."""

    def unreadable(self, step: int, images: Mapping[str, str], *, new: Sequence[str]) -> None:
        """The images that a step skipped, by id, and what is wrong with them; `new` are those not met before."""


class TrainingLog(Log):
    """Open while a training runs; the files hold nothing of a step after `first` when it is opened again."""

    def __init__(self, out: Path, followers: Followers, *, first: int, steps: int) -> None:
        self.steps, self.first, self.followers = steps, first, followers
        self.miou: float | None = None
        self.now, self.lines_told = f"step {first}/{steps}", ExitStack()
        self.started = time.perf_counter()
        _truncate(out / METRICS, first)
        self.lines = (out / METRICS).open("a", encoding="utf-8")
        self.board = SummaryWriter(str(out / TENSORBOARD), purge_step=first + 1 if first else None)
        console = Console(stderr=True)
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("", total=steps, completed=first)

    def __enter__(self) -> Self:
        if self.bar.disable:
            self.lines_told.enter_context(lines_in_pipes(lambda: self.now))
        else:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lines_told.close()
        if not self.bar.disable:  # rich's older versions leave an empty line
            self.bar.stop()
        self.lines.close()
        self.board.close()

    def step(self, step: int, terms: Mapping[str, float], learning_rate: float) -> None:
        """Shows a finished step; every tenth is written."""
        said = _progress_text(terms, self.miou)
        self.now = f"step {step}/{self.steps}  {said}"
        self.bar.update(self.task, completed=step, description=said)
        if step % LOG_EVERY == 0:
            self._write({"step": step, "terms": dict(terms), "learning_rate": learning_rate})
            self._draw(
                step, {"learning_rate": learning_rate} | {f"loss/{name}": value for name, value in terms.items()}
            )

    def evaluation(self, step: int, score: SegmentationScore, terms: Mapping[str, float]) -> None:
        """Writes a validation's score, and says it on one line where there is no bar."""
        self.miou = score.miou
        self._write({"step": step, "miou": score.miou, "per_class": dict(score.per_class)})
        per_class = {f"iou/{name}": value for name, value in score.per_class.items() if value is not None}
        self._draw(step, {"miou": score.miou, **per_class})
        if self.bar.disable:
            note(f"step {step}/{self.steps}  {_progress_text(terms, self.miou)}  {self._time_left(step)} left")

    def unreadable(self, step: int, images: Mapping[str, str], *, new: Sequence[str]) -> None:
        """Writes which images a step skipped and why, and says it of those that were not met before."""
        self._write({"step": step, "unreadable": dict(images)})
        for id in new:
            note(f"skipped: {images[id]}")

    def _write(self, record: Mapping[str, Json]) -> None:
        self.lines.write(json.dumps(record) + "\n")
        self.lines.flush()

    def _draw(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        self.followers.scalars(step, values)

    def _time_left(self, step: int) -> str:
        seconds = (time.perf_counter() - self.started) / max(step - self.first, 1) * (self.steps - step)
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _progress_text(terms: Mapping[str, float], miou: float | None) -> str:
    parts = [f"{name} {value:.3g}" for name, value in terms.items()]
    return "  ".join(parts + ([f"mIoU {miou:.1f} %"] if miou is not None else []))


def _truncate(path: Path, step: int) -> None:
    """Drops the lines after the step, and a last line that a kill cut short."""
    if not path.exists():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if _at_most(line, step)]
    write_atomically(path, "".join(kept).encode())


def _at_most(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except ValueError:
        return False
