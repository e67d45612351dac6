"""From the names that a source gives its images to files, and to ids, which are safe names of files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path, PurePosixPath

LONGEST = 200  # bytes of an id: a file name has at most 255, and a suffix is added
_ABSOLUTE = re.compile(r"^(?:/|[A-Za-z]:|[A-Za-z][\w+.-]*://)")
SPLIT_NAMES = {
    "train": r"train(?:ing|\d{4})?",
    "val": r"val(?:id|idation|\d{4})?|dev",
    "test": r"test(?:ing|\d{4})?",
}


class BadName(ValueError):
    """A name that cannot be used, and why."""


def plain_path(name: object) -> PurePosixPath:
    """A name from a file as a path with forward slashes; raises BadName unless it could be a file's."""
    if not isinstance(name, str) or not name.strip():
        raise BadName("an image without a file name")
    if any(ord(letter) < 32 for letter in name):
        raise BadName(f"file name {name!r} has a control character")
    path = PurePosixPath(name.replace("\\", "/"))
    if any(len(part.encode()) > 255 for part in path.parts):
        raise BadName(f"file name {name[:40]}... is too long ({len(name.encode())} bytes)")
    if not path.name or path.name in (".", ".."):
        raise BadName(f"file name {name!r} is no file's")
    return path


class ImageFinder:
    """Finds the files that a source names: below the source, or by --images below that folder alone."""

    def __init__(self, root: Path, given: Path | None) -> None:
        self.root, self.given = root, given

    def find(self, name: object, *bases: Path) -> Path:
        """The file, looked for below `bases` in turn; raises BadName where it is missing or outside the source."""
        path = plain_path(name)
        if _ABSOLUTE.match(str(name).replace("\\", "/")):
            if not self.given:
                raise BadName(f"{name} is an absolute path. Say where the images are: --images DIR")
            path = PurePosixPath(path.name)
        looked = (self.given, *bases) if self.given else bases
        for base in looked:
            for candidate in _spellings(base, path):
                if candidate.is_file():
                    return self._inside(candidate, name)
        if self.given and path.name in self._listed:
            return self._listed[path.name]
        places = ", ".join(f"{base}/" for base in dict.fromkeys(looked))
        raise BadName(f"image {name} is not in {places}. Add it, or say where the images are: --images DIR")

    def _inside(self, path: Path, name: object) -> Path:
        allowed = [folder.resolve() for folder in (self.root, self.given) if folder]
        if not any(Path(_normal(path)).is_relative_to(folder) for folder in allowed):
            raise BadName(f"{name} leads out of {self.root}. Say where the images are: --images DIR")
        return path

    @cached_property
    def _listed(self) -> dict[str, Path]:
        """The files below --images whose base name occurs once."""
        files = [path for path in self.given.rglob("*") if path.is_file()] if self.given else []
        uses = Counter(path.name for path in files)
        return {path.name: path for path in files if uses[path.name] == 1}


def _spellings(base: Path, path: PurePosixPath) -> Iterable[Path]:
    # macOS writes letters and their accents apart
    return (
        (base / unicodedata.normalize(form, str(path)) for form in ("NFC", "NFD"))
        if not str(path).isascii()
        else (base / path,)
    )


def _normal(path: Path) -> str:
    """The absolute path without `..`; a link inside the source may lead anywhere, as its owner wants it."""
    import os.path

    return os.path.normpath(path.parent.resolve() / path.name)


def ids_of(names: Sequence[str]) -> list[str]:
    """An id for each name, in order: its stem where no other image has it, else its whole path with `__` for `/`.

    Letters are composed (NFC), white space becomes `_`; ids that differ in case alone get a number. Raises BadName for
    a name of which no id can be made.
    """
    whole = [_safe(str(plain_path(name).with_suffix("")).lstrip("/")) for name in names]
    stems = [_safe(plain_path(name).stem) for name in names]
    uses = Counter(stem.casefold() for stem in stems)
    chosen = [stem if uses[stem.casefold()] == 1 else path for stem, path in zip(stems, whole, strict=True)]
    taken: set[str] = set()
    return [_required(_numbered(id, taken)) for id in chosen]


def _numbered(id: str, taken: set[str]) -> str:
    """The id, or where it is taken the first number after it that is not."""
    candidates = (id if number == 1 else f"{id}-{number}" for number in count(1))
    found = next(candidate for candidate in candidates if candidate.casefold() not in taken)
    taken.add(found.casefold())
    return found


def _safe(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    parts = [part for part in composed.split("/") if part not in (".", "..")]
    return re.sub(r"\s", "_", "__".join(parts)).lstrip(".")


def _required(id: str) -> str:
    if not id:
        raise BadName("an image whose name has nothing before its suffix")
    if len(id.encode()) > LONGEST:
        raise BadName(f"{id[:40]}... is too long for an id: {len(id.encode())} bytes, at most {LONGEST}. Rename it")
    return id


def split_named(parts: Iterable[str]) -> str | None:
    """The split that a folder's or file's name says: train, val or test; None where none or several do."""
    words = {word for part in parts for word in re.split(r"[^A-Za-z0-9]+", part.lower())}
    seen = {split for split, pattern in SPLIT_NAMES.items() if any(re.fullmatch(pattern, word) for word in words)}
    return seen.pop() if len(seen) == 1 else None
