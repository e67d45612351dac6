"""Directories that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardedge.errors import BadInput, MissingHere


def require_free(out: Path, force: bool) -> None:
    """Raises BadInput when `out` exists and `force` was not given; call it before any long work."""
    if out.exists() and not force:
        raise BadInput(f"{out} exists. Give another --out, or --force to replace it.")


@contextmanager
def staged(out: Path, *, force: bool) -> Iterator[Path]:
    """A fresh directory beside `out` that becomes `out` when the block ends well, and vanishes when it does not.

    Raises BadInput when `out` exists (unless `force`, which replaces it at the very end).
    """
    require_free(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns an operating system's refusal (disk full, read-only, no permission) into one clear message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG):
            where = error.filename or "the output folder"
            raise MissingHere(
                f"cannot write {where}: {error.strerror}. Free some space or choose another --out, then run it again."
            ) from error
        raise
