"""Which files of a directory hardedge wrote: those that the manifests in it list. Nothing else is ever removed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

CONTENTS: Final = ".hardedge.json"
_SCHEMA: Final = "hardedge.contents/1"
_HEAD: Final = re.compile(rb'\s*\{\s*"schema_id":\s*"hardedge\.')
_PARTIAL_FILE: Final = re.compile(r"\..+\.partial", re.DOTALL)
_PARTIAL_FOLDER: Final = re.compile(r"\..+\.(partial|replaced)-\w+", re.DOTALL)


@dataclass
class _Listing:
    """What the manifests of one directory list, relative to it."""

    files: set[str] = field(default_factory=set)
    patterns: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def lists(self, name: str) -> bool:
        return name in self.files or any(_matches(name, pattern) for pattern in self.patterns)

    def holds(self, name: str) -> bool:
        return any(_matches(name, pattern) for pattern in self.folders)


def declare_contents(
    directory: Path, *, files: Iterable[str] = (), patterns: Sequence[str] = (), folders: Sequence[str] = ()
) -> None:
    """Writes the list of what hardedge writes in `directory`, in place of an earlier one.

    `files` are names relative to it; `patterns` too, with `*` for any part of one name; `folders`, in which `*` may
    stand as well, are directories that have manifests of their own.
    """
    content = {"schema_id": _SCHEMA, "files": sorted(files), "patterns": [*patterns], "folders": [*folders]}
    partial = directory / f"{CONTENTS}.partial"
    partial.write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="surrogateescape"
    )
    partial.replace(directory / CONTENTS)


def declare_the_rest(directory: Path) -> None:
    """Lists in `directory` every file that its manifests do not list, if there is any."""
    rest = foreign_files(directory)
    if rest:
        known = _listing(directory)
        declare_contents(directory, files=known.files | set(rest), patterns=known.patterns, folders=known.folders)


def has_manifest(directory: Path) -> bool:
    """Whether a manifest of hardedge is in the directory itself."""
    return any(_manifests(directory))


def foreign_files(directory: Path) -> list[str]:
    """What is in `directory` and in no manifest's list, by its path there, sorted.

    Partial files are hardedge's by their names. An empty folder counts where no manifest is beside it.
    """
    listed = has_manifest(directory)
    return sorted(name for name in _unlisted(directory, "", _listing(directory), listed))


def remove_listed(directory: Path) -> list[str]:
    """Removes the files that the manifests list, and the folders that are empty then; returns what stays there."""
    foreign = set(foreign_files(directory))
    for place, folders, names in os.walk(directory, topdown=False):
        inside = PurePosixPath(Path(place).relative_to(directory).as_posix())
        for name in [*names, *(name for name in folders if (Path(place) / name).is_symlink())]:
            if str(inside / name) not in foreign and not _in_any(str(inside / name), foreign):
                (Path(place) / name).unlink()
        if not any(Path(place).iterdir()):
            Path(place).rmdir()
    return foreign_files(directory) if directory.exists() else []


def _in_any(name: str, foreign: set[str]) -> bool:
    return any(str(parent) in foreign for parent in PurePosixPath(name).parents)


def _unlisted(directory: Path, prefix: str, listing: _Listing, listed: bool) -> Iterator[str]:
    entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    if not entries and prefix and not listed:
        yield prefix.rstrip("/")
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if _PARTIAL_FOLDER.fullmatch(entry.name):
                continue
            if listing.holds(name):
                yield from (f"{name}/{each}" for each in foreign_files(Path(entry.path)))
            else:
                yield from _unlisted(Path(entry.path), f"{name}/", listing, listed)
        elif not _PARTIAL_FILE.fullmatch(entry.name) and not listing.lists(name):
            yield name


def _listing(directory: Path) -> _Listing:
    found = _Listing()
    for name, content in _manifests(directory):
        found.files |= {name, f"{name}.sig", f"{name}.kernels", *_texts(content.get("files"))}
        if name == CONTENTS:
            found.patterns += _texts(content.get("patterns"))
            found.folders += _texts(content.get("folders"))
    return found


def _manifests(directory: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The manifests in the directory itself, by name: JSON objects that begin with a schema of hardedge."""
    for path in sorted(directory.glob("*.json")):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                if not _HEAD.match(file.read(256)):
                    continue
            content = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        except (OSError, ValueError, RecursionError):
            continue
        yield path.name, content


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | dict) else []


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
