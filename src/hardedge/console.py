"""What a person sees while something runs: progress on stderr, quiet when it is piped."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from hardedge.names import visible

T = TypeVar("T")


def note(message: str) -> None:
    """One line on stderr for the person who watches."""
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(visible(message), markup=False)


@contextmanager
def spinner(what: str, seconds: float | None = None) -> Iterator[Callable[[str], None]]:
    """A spinner with the time spent, for one step; call what it gives to say more.

    `seconds` is how long the step will take, where that is known: it is shown beside the time spent.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:  # rich's own `disable` left an empty line there in its older versions
        yield lambda now: None
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
    yield from track(items, what, total, console=console, transient=True) if console.is_terminal else items
