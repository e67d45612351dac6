"""What a format is: its name on the command line, what it is known by, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardedge.data.importing.source import Found, Options, Source


@dataclass(frozen=True, kw_only=True)
class Format:
    """`known` looks at a folder or file without decoding much; `read` raises BadInput or collects faults.

    `regions`: pixels may be unlabelled, so the printed command has to say what they become. `needs` are the options
    that it cannot be read without, as they are shown.
    """

    name: str
    title: str
    known: Callable[[Path], bool]
    read: Callable[[Path, Options, Found], Source]
    regions: bool = False
    needs: str = ""
