"""The program `hardedge`, also as `python -m hardedge`: it can be stopped while the command line is being imported."""

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line. The first process of a container ignores SIGTERM until it is handled: that comes first."""
    interrupt = signal.getsignal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background job
            signal.signal(number, _stop)
    from hardedge.cli import main

    signal.signal(signal.SIGINT, interrupt)
    main()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the process: an exception could be lost inside an import, and nothing has begun yet."""
    os.write(2, b"Interrupted before anything began.\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
