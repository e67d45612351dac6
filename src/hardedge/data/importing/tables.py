"""Tables of classes as they lie about: a value or a colour and its name a line, in the orders that are in use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hardedge.data.importing.documents import read_text
from hardedge.data.importing.source import Color
from hardedge.errors import BadInput, faults_error

Table = tuple[tuple[str, str], ...]  # "7" or "#rrggbb", and the label
_SEPARATOR = r"\s*[\s,;:=]\s*"
_FORMS = (
    re.compile(rf"^(?P<hex>#[0-9a-fA-F]{{6}}){_SEPARATOR}(?P<name>.+)$"),
    re.compile(rf"^(?P<r>\d+){_SEPARATOR}(?P<g>\d+){_SEPARATOR}(?P<b>\d+){_SEPARATOR}(?P<name>\D.*)$"),
    re.compile(r"^(?P<name>[^:]+):(?P<r>\d+),(?P<g>\d+),(?P<b>\d+):[^:]*:[^:]*$"),  # CVAT's labelmap.txt
    re.compile(rf"^(?P<name>.*?\D){_SEPARATOR}(?P<r>\d+){_SEPARATOR}(?P<g>\d+){_SEPARATOR}(?P<b>\d+)$"),
    re.compile(rf"^(?P<value>\d+){_SEPARATOR}(?P<name>.+)$"),
)


def read_table(path: Path) -> Table:
    """The labels of a file in its order; a first line without digits is a heading. Raises BadInput, faults by line."""
    numbered = enumerate((line.strip() for line in read_text(path).splitlines()), start=1)
    # a hash begins a colour, or else a comment
    lines = [(number, line) for number, line in numbered if line and (line[0] != "#" or _FORMS[0].match(line))]
    if lines and not re.search(r"\d", lines[0][1]):
        lines = lines[1:]
    return _table([(f"{path}:{number}", line) for number, line in lines], str(path))


def table_of(text: str) -> Table:
    """The same from one line: 0=void,1=road or #804080=road,#ff0000=car."""
    return _table((("--table", part.strip()) for part in text.split(",") if part.strip()), "--table")


def _table(entries: Iterable[tuple[str, str]], name: str) -> Table:
    found: dict[str, str] = {}
    faults = []
    for where, line in entries:
        match = next((match for form in _FORMS if (match := form.match(line))), None)
        parts = match.groupdict() if match else {}
        channels = [int(parts[channel]) for channel in "rgb"] if parts.get("r") else []
        if not match or any(channel > 255 for channel in channels):
            faults.append(f"{where}: {line!r} is no entry. Write VALUE NAME, #RRGGBB NAME, or R G B NAME")
            continue
        key = str(int(parts["value"])) if parts.get("value") else hex_of(channels) if channels else parts["hex"].lower()
        if key in found and found[key] != parts["name"].strip():
            faults.append(f"{where}: {key} is {parts['name'].strip()}, but was {found[key]} before")
        found[key] = parts["name"].strip()
    if faults or not found:
        raise faults_error(f"{name} is no table of classes", faults or ["no entry"], "Correct it, and import again.")
    return tuple(found.items())


def hex_of(channels: Iterable[int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def color_of(key: str) -> Color | None:
    """The colour of a table's key, None of a value."""
    if not key.startswith("#"):
        return None
    red, green, blue = bytes.fromhex(key[1:])
    return red, green, blue


def require_kind(table: Table, colors: bool) -> None:
    """Raises BadInput where a table has values in place of colours, or the reverse."""
    wrong = [key for key, _ in table if key.startswith("#") != colors]
    if wrong:
        expected = "colours such as #804080 or 128 64 128" if colors else "values such as 7"
        raise BadInput(f"--table: {', '.join(wrong[:5])}: this format needs {expected}.")
