"""Locks among processes, taken back by the operating system from a process that ends, however it ends."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from hardedge.errors import Unavailable


class Locks:
    """One lock for each byte of a file, of this process against others; within a process they keep nothing apart.

    They are POSIX's record locks, which a network file system knows too, and which a forked worker does not inherit.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        os.close(self._file)

    @contextmanager
    def held(self, place: int) -> Iterator[None]:
        """Waits for a lock, and holds it while the block runs."""
        self._lock(fcntl.LOCK_EX, place)
        try:
            yield
        finally:
            self.give_back(place)

    def take(self, place: int) -> bool:
        """Takes a lock, unless another process has it."""
        try:
            self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, place)
        except (BlockingIOError, PermissionError):  # POSIX allows both for a lock that is taken
            return False
        return True

    def give_back(self, place: int) -> None:
        self._lock(fcntl.LOCK_UN, place)

    def _lock(self, kind: int, place: int) -> None:
        try:
            fcntl.lockf(self._file, kind, 1, place)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise Unavailable(
                    f"the file system of --out has no locks ({error.strerror}). Give an --out on one that has."
                ) from None
            raise
