"""Names from data and from manifests: which may become the name of a file, and text as it may be shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

from hardedge.errors import BadInput

LONGEST: Final = 230  # bytes of an id: file systems take 255, with what is added (.png, -y1024-x2048)
LONGEST_STEM: Final = 251  # of a name that only .png or .jpg is added to
# what moves a terminal's cursor or ends an XML document: C0, C1, lone surrogates, and two that are no characters
_CONTROL: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
# what makes text read in another order than it has: marks, embeddings, overrides, isolates; and line separators
_ORDER: Final = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_HIDDEN: Final = re.compile(f"[{_CONTROL}{_ORDER}]")
_UNNAMEABLE: Final = re.compile(f"[\t\n{_CONTROL}{_ORDER}]")


def visible(text: str) -> str:
    """The text with U+FFFD for every control character but tab and line feed, and for what reorders text."""
    return _HIDDEN.sub("\ufffd", text)


def text_fault(text: str) -> str | None:
    """Why a class's or network's name cannot be shown as it is, or None."""
    if not text.strip():
        return "is empty"
    found = _UNNAMEABLE.search(text)
    return f"has the character U+{ord(found[0]):04X}, which is not shown" if found else None


def id_fault(id: str, longest: int = LONGEST) -> str | None:
    """Why an image's id cannot be the name of a file, or None; `longest` in bytes."""
    if not id or id in (".", "..") or "/" in id or "\\" in id:
        return "is no name of a file"
    fault = text_fault(id)
    if fault is None and len(os.fsencode(id)) > longest:
        return f"has {len(os.fsencode(id))} bytes, more than the {longest} that leave room for what is added"
    return fault


def escaped_json(text: str) -> str:
    """JSON text with every character that `visible` hides written as its escape."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def id_faults(where: str, ids: Iterable[str]) -> list[str]:
    """A fault for every id that cannot be the name of a file; `where` says what lists it."""
    found = ((id, id_fault(id)) for id in ids)
    return [f"{where}: {quoted(id)} {fault}. Rename the image and its mask" for id, fault in found if fault]


def path_fault(path: str) -> str | None:
    """Why a manifest's path to one of its own files cannot be one, or None."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        return "is no path inside its directory"
    return text_fault(path)


def require_id(what: str, id: str) -> None:
    """Raises BadInput unless the id can be the name of a file."""
    _require(what, id, id_fault(id))


def require_path(what: str, path: str) -> None:
    """Raises BadInput unless the path stays inside the directory that it is relative to."""
    _require(what, path, path_fault(path))


def require_text(what: str, text: str) -> None:
    """Raises BadInput for a name with characters that are not shown, or without any other."""
    _require(what, text, text_fault(text))


def _require(what: str, name: str, fault: str | None) -> None:
    if fault:
        raise BadInput(f"{what} {quoted(name)} {fault}. Give it another name.")


def quoted(name: str) -> str:
    """A name in quotes, its control characters written as escapes, shortened where it is very long."""
    text = ascii(name) if _UNNAMEABLE.search(name) else f'"{name}"'
    return text if len(text) <= 100 else f"{text[:60]}...{text[-20:]}"
