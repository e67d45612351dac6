"""Which format a folder is in that is no data set of ours, and the one command that imports it."""

from __future__ import annotations

import shlex
from pathlib import Path

from hardedge.data.importing.formats import FORMATS, Format
from hardedge.data.importing.formats.cvat_masks import CVAT_MASKS
from hardedge.errors import BadInput


def format_named(name: str) -> Format:
    """Raises BadInput for an unknown one."""
    found = next((format for format in FORMATS if format.name == name), None)
    if found is None:
        raise BadInput(f"unknown format {name}. Known: {', '.join(format.name for format in FORMATS)}")
    return found


def format_of(root: Path) -> Format | None:
    """The format that a folder or file looks like; None where it looks like none."""
    try:
        return next((format for format in FORMATS if format.known(root)), None)
    except OSError:
        return None


def require_native(root: Path, layout: bool = False) -> None:
    """Raises BadInput for a folder in a foreign format: what it looks like, and the command that imports it.

    `layout`: it looks like a public data set, and is foreign only where CVAT's labelmap.txt tells it from PASCAL VOC.
    """
    known = (root / "classes.json").is_file() or (layout and not CVAT_MASKS.known(root))
    format = None if known else format_of(root)
    if format is not None:
        raise BadInput(
            f"{root} looks like {format.title}, which has to be imported:\n    {import_command(format, root)}"
        )


def import_command(format: Format, root: Path) -> str:
    """The whole command, with an --out beside the folder."""
    place = (root if root.is_dir() else root.parent).resolve()
    words = ["hardedge import", format.name, shlex.quote(str(root)), "--out", shlex.quote(f"{place.name}-hardedge")]
    words += [format.needs] if format.needs else []
    words += ["--unlabelled background"] if format.regions else []
    return " ".join(words)
