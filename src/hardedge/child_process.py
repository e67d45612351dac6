"""A module of ours, run in a Python process of its own: whatever it does (crash, print, keep memory) ends with it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ReadLine = Callable[[str], bool]

# as -P, which Python 3.10 lacks: a file in the directory where a child starts must not stand for a library's module
_START: Final = "import sys; sys.path = [p for p in sys.path if p]; from hardedge.child_process import main; main()"


@dataclass(frozen=True)
class ChildResult:
    """How a child ended: its exit status (negative: a signal's number), what it printed, whether its time was up."""

    status: int
    output: str
    errors: str
    timed_out: bool = False


def run_child(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    read_line: ReadLine | None = None,
    seconds: float | None = None,
) -> ChildResult:
    """Runs `python -m MODULE ARGUMENTS` to its end, in `folder` or else here, with what this process can import.

    `read_line` sees each line of its output as it comes; one that it returns True for is left out of the result. After
    `seconds` it is killed.
    """
    with start_child(
        module, *arguments, environment=environment, folder=folder, read_line=read_line, seconds=seconds
    ) as wait:
        return wait()


@contextmanager
def start_child(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    read_line: ReadLine | None = None,
    seconds: float | None = None,
) -> Iterator[Callable[[], ChildResult]]:
    """As run_child, while this process goes on; calling what is yielded waits for the end.

    A child that still runs is killed with the block, and ends with this process, killed or not: also where this one is
    interrupted while it starts the child, as that ends once nobody has its stdin open.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, module, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path()), **(environment or {})},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def wait() -> ChildResult:
            assert process.stdout is not None
            output = "".join(line for line in process.stdout if not (read_line and read_line(line)))
            status = process.wait()
            errors.seek(0)
            return ChildResult(status, output, errors.read(), timed_out.is_set())

        timed_out = threading.Event()

        def end() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(seconds or 0, end)
        try:
            if seconds is not None:
                timer.start()
            yield wait
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def _import_path() -> list[str]:
    """Where this process imports from, without the directory that it runs in, unless we are there ourselves."""
    here, ours = Path.cwd(), Path(__file__).parents[1]
    return [path for path in sys.path if path and (Path(path) == ours or Path(path).resolve() != here)]


def main() -> None:
    """Runs the module that the arguments name, as `python -m` does; ends this process once its stdin does."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def end_with_parent() -> None:
    """Ends this process once stdin does: its parent is gone, or has let go of it."""
    while os.read(0, 1):
        pass
    os._exit(1)
