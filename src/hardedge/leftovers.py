"""Directories in the making: a lock says whose are alive, and the next run removes those of processes that died."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hardedge.ownership import foreign_files, remove_listed

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows has no flock: there, nothing is swept
    fcntl = None  # type: ignore[assignment]

_HEX: Final = "[0-9a-f]{8}"


@contextmanager
def locked_directory(out: Path) -> Iterator[Path]:
    """A new directory `.OUT.partial-HEX` beside `out`, locked while the block runs; the lock goes where it is moved."""
    new = out.parent / f".{out.name}.new-{secrets.token_hex(4)}"
    new.mkdir(parents=True)
    descriptor = os.open(new, os.O_RDONLY)
    try:
        _lock(descriptor)
        # only now by the name that a sweep looks for
        yield new.rename(out.parent / f".{out.name}.partial-{secrets.token_hex(4)}")
    finally:
        os.close(descriptor)
        with suppress(OSError):
            new.rmdir()


def aside(out: Path) -> Path:
    """Where an old `out` goes while the new one takes its place."""
    return out.parent / f".{out.name}.replaced-{secrets.token_hex(4)}"


def sweep(out: Path) -> None:
    """Removes what processes that died left beside `out`, and puts back an old `out` that one had set aside."""
    if fcntl is None or not out.parent.is_dir():
        return
    name = re.escape(out.name)
    for path in sorted(out.parent.iterdir()):
        found = re.fullmatch(rf"\.{name}\.(partial|replaced)-{_HEX}", path.name)
        if found and path.is_dir() and not path.is_symlink():
            _sweep(path, out, replaced=found[1] == "replaced")


def _sweep(path: Path, out: Path, *, replaced: bool) -> None:
    with suppress(OSError):  # somebody else's, or gone meanwhile: it is left alone
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if not _lock(descriptor) or not os.path.samestat(os.fstat(descriptor), path.stat()):
                return
            if not replaced:
                shutil.rmtree(path)
            elif not out.exists():
                path.rename(out)
            elif not foreign_files(path):
                remove_listed(path)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether this process now holds the directory; where a file system has no locks, it does not."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
