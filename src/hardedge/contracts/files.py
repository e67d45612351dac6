"""Contracts on disk: strict JSON, digests, files that appear whole or not at all."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

from hardedge.contracts.base import ZERO_DIGEST, Json, Manifest
from hardedge.errors import BadInput, faults_error
from hardedge.ownership import CONTENTS
from hardedge.paths import StrPath, local_path

_DIGEST_LINE = re.compile(rb'^( "digest": ")[0-9a-f]{64}(")', re.MULTILINE)
T = TypeVar("T")
M = TypeVar("M", bound=Manifest)


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()  # Python 3.10 has no file_digest
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes to a temporary name, flushes, renames: a killed process leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # half a file would only take space
        raise


def to_json(value: Any) -> str:
    """A contract as indented JSON text."""
    return json.dumps(dataclasses.asdict(value), indent=1, ensure_ascii=False) + "\n"


def read_json(kind: type[T], path: Path) -> T:
    """Reads a contract strictly; raises BadInput naming the file, every faulty key, and what was expected."""
    return parse_json(kind, path.read_bytes(), str(path))


def parse_json(kind: type[T], content: bytes, name: str) -> T:
    """As read_json, from bytes; `name` is what the messages call them."""
    from pydantic import ValidationError

    hashable: Any = kind  # which mypy does not see of a type variable
    try:
        found: T = _adapter(hashable).validate_json(content, strict=True)
    except ValidationError as error:
        faults = [f"{_key(fault['loc'])}: {fault['msg']}, got {_short(fault['input'])}" for fault in error.errors()]
        raise faults_error(
            f"{name} is not a valid {kind.__name__.lower()}", faults, "Make it again with this version."
        ) from None
    except BadInput as error:  # of a contract's own rules, which do not know the file
        raise BadInput(f"{name}: {error}") from None
    return found


@functools.cache
def _adapter(kind: type) -> Any:
    """pydantic's reader of a contract, which takes some 20 ms to make."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _key(location: tuple[int | str, ...]) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return key.lstrip(".") or "the whole file"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def json_schema(kind: type) -> dict[str, Json]:
    """The JSON Schema of a contract."""
    schema: dict[str, Json] = _adapter(kind).json_schema()
    return schema


def seal(directory: Path, manifest: M) -> M:
    """Writes the manifest into its directory, over every file that is there, and returns it with its digests."""
    # a signature comes after the manifest that it signs; the list of contents is for --force, not for readers
    beside = (manifest.FILE, f"{manifest.FILE}.sig", CONTENTS)
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name not in beside)
    files = {path.relative_to(directory).as_posix(): sha256_of(path) for path in paths}
    unsealed = dataclasses.replace(manifest, schema_id=manifest.SCHEMA, files=files, digest=ZERO_DIGEST)
    digest = _digest_of_manifest(to_json(unsealed).encode())
    sealed = dataclasses.replace(unsealed, digest=digest)
    write_atomically(directory / manifest.FILE, to_json(sealed).encode())
    return sealed


def load(kind: type[M], directory: StrPath) -> M:
    """Reads an artefact's manifest and checks its own digest and every file's.

    Raises BadInput when the manifest is missing, of another schema, or altered, and when any file is missing, altered,
    or outside the directory; all faulty files are named together.
    """
    directory = local_path(directory)
    path = directory / kind.FILE
    if not path.is_file():
        raise BadInput(_missing_manifest(kind, directory))
    content = path.read_bytes()
    _require_schema(kind, content, path)
    manifest = parse_json(kind, content, str(path))
    if _digest_of_manifest(content) != manifest.digest:
        raise BadInput(f"{path} was changed after it was written: its digest does not fit. Make it again.")
    faults = [fault for name, digest in manifest.files.items() if (fault := _file_fault(directory, name, digest))]
    if faults:
        raise faults_error(f"{directory} is not what {kind.FILE} describes", faults, "Copy or make it again.")
    return manifest


def load_artefact(directory: StrPath) -> Manifest:
    """As load, of whichever artefact the directory is: a `Checkpoint`, `Bundle`, `Engine`, `Report` ...

    Raises BadInput as load does, and for a directory that is none.
    """
    directory = local_path(directory)
    kinds = [kind for kind in Manifest.__subclasses__() if (directory / kind.FILE).is_file()]
    if kinds:
        return load(kinds[0], directory)
    inside = sorted(f"{path.parent}" for kind in Manifest.__subclasses__() for path in directory.glob(f"*/{kind.FILE}"))
    if inside:
        raise BadInput(f"{directory} is not one artefact. Give one of those in it: {', '.join(inside[:4])}.")
    known = ", ".join(kind.FILE for kind in Manifest.__subclasses__())
    raise BadInput(f"{directory} is not an artefact's folder: it has none of {known}. Give what a command wrote.")


def _missing_manifest(kind: type[Manifest], directory: Path) -> str:
    """What is there in place of the manifest, and what was probably meant."""
    if directory.is_file():
        meant = directory.parent if (directory.parent / kind.FILE).is_file() else f"the directory that has {kind.FILE}"
        return f"{directory} is a file. Give {meant}."
    create = f"Create it with: {kind.MADE_BY} ... --out {directory}"
    if not directory.is_dir():
        return f"{directory} does not exist: no {kind.FILE}. {create}"
    inside = [path.parent for path in sorted(directory.glob(f"*/{kind.FILE}"))]
    if inside:
        return f"{directory} has no {kind.FILE}. Did you mean {' or '.join(map(str, inside[:4]))}?"
    others = [f"{other.FILE} (made by {other.MADE_BY})" for other in Manifest.__subclasses__()]
    there = [told for told in others if (directory / told.partition(" ")[0]).is_file()]
    held = f", but {there[0]}" if there else ""
    return f"{directory} has no {kind.FILE}{held}. {create if not there else f'Give what {kind.MADE_BY} wrote.'}"


def _digest_of_manifest(content: bytes) -> str:
    return hashlib.sha256(_DIGEST_LINE.sub(rb"\g<1>" + ZERO_DIGEST.encode() + rb"\g<2>", content)).hexdigest()


def _require_schema(kind: type[Manifest], content: bytes, path: Path) -> None:
    try:
        found = json.loads(content)["schema_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{path} is not a hardedge manifest: no schema_id in it. Make it again.") from None
    if found != kind.SCHEMA:
        raise BadInput(f"{path}, schema_id: expected {kind.SCHEMA}, got {_short(found)}. Make it again.")


def _file_fault(directory: Path, name: str, digest: str) -> str | None:
    path = directory / name
    try:
        if name.startswith("/") or ".." in Path(name).parts or not path.resolve().is_relative_to(directory.resolve()):
            return f"{name}: outside the directory"
        if not path.is_file():
            return f"{name}: missing"
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a circle
        return f"{_short(name)}: no file name ({error})"
    return None if sha256_of(path) == digest else f"{name}: changed (its sha256 does not fit)"
