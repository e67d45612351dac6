"""What a format is: its name on the command line, what it is known by, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardedge.data.importing.source import Found, Options, Source
from hardedge.errors import BadInput

LIMITED = ("images", "masks", "table", "order", "boxes", "crowds", "interpolated", "threshold")


@dataclass(frozen=True, kw_only=True)
class Format:
    """`known` looks at a folder or file without decoding much; `read` raises BadInput or collects faults.

    `regions`: pixels may be unlabelled, so the printed command has to say what they become. `needs` are the options
    that it cannot be read without, as they are shown; `takes` those of LIMITED that it knows.
    """

    name: str
    title: str
    known: Callable[[Path], bool]
    read: Callable[[Path, Options, Found], Source]
    regions: bool = False
    needs: str = ""
    takes: tuple[str, ...] = ()

    def require_useful(self, options: Options) -> None:
        """Raises BadInput for an option that does nothing for this format."""
        plain = Options()
        given = [name for name in LIMITED if getattr(options, name) != getattr(plain, name)]
        useless = [f"--{name}" for name in given if name not in (*self.takes, *(("order",) if self.regions else ()))]
        if useless:
            raise BadInput(f"{', '.join(useless)}: of no use for {self.name}. Leave it out.")
