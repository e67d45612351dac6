"""What a person sees while something runs: progress on stderr, a line now and then where it is piped."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from hardedge.names import visible

T = TypeVar("T")
FIRST_LINE, LINE_EVERY = 10.0, 30.0  # seconds between the lines that a pipe gets


def note(message: str) -> None:
    """One line on stderr for the person who watches."""
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(visible(message), markup=False)


@contextmanager
def lines_in_pipes(text: Callable[[], str]) -> Iterator[None]:
    """Says on a line what the block is at, after ten seconds and then every thirty, with the time that it took."""
    ended, started = threading.Event(), time.monotonic()

    def tell() -> None:
        wait = FIRST_LINE
        while not ended.wait(wait):
            note(f"{text()}, {timedelta(seconds=round(time.monotonic() - started))}")
            wait = LINE_EVERY

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


@contextmanager
def spinner(what: str, seconds: float | None = None) -> Iterator[Callable[[str], None]]:
    """A spinner with the time spent, for one step; call what it gives to say more.

    `seconds` is how long the step will take, where that is known: it is shown beside the time spent.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:  # rich's own `disable` left an empty line there in its older versions
        said = [what]
        with lines_in_pipes(lambda: said[-1]):
            yield said.append
        return
    whole = () if seconds is None else (TextColumn(f"of {timedelta(seconds=round(seconds))}"),)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), *whole)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(visible(what), total=None)
        yield lambda now: progress.update(task, description=visible(now))


def progress_bar(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields the items under a progress bar with the time left."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(items, what, total, console=console, transient=True)
        return
    count = total if total is not None else len(items) if isinstance(items, Sized) else None
    done = 0
    with lines_in_pipes(lambda: f"{what}: {done}{f' of {count}' if count else ''}"):
        for item in items:
            yield item
            done += 1
