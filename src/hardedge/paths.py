"""Paths as callers give them, text or path objects; inside the package they are `Path`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from hardedge.errors import BadInput

StrPath: TypeAlias = str | os.PathLike[str]
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(given: StrPath) -> Path:
    """The path; raises BadInput for a URL."""
    text = os.fspath(given)
    # pathlib makes one slash of two
    if _SCHEME.match(text) and ("://" in text or not Path(text).exists()):
        raise BadInput(
            f"{text} is a URL; hardedge reads and writes local files. Download it, and give the file's path."
        )
    return Path(text)


def optional_path(given: StrPath | None) -> Path | None:
    """As `local_path`; None stays None."""
    return None if given is None else local_path(given)


def local_paths(given: StrPath | Iterable[StrPath]) -> list[Path]:
    """As `local_path`, of each; one path is a list of one."""
    several = (given,) if isinstance(given, str | os.PathLike) else given
    return [local_path(path) for path in several]
