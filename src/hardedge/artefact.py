"""Directories that appear whole or not at all, and what --force may replace."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hardedge.console import note
from hardedge.errors import BadInput, Unavailable
from hardedge.leftovers import aside, locked_directory, sweep
from hardedge.names import quoted, text_fault
from hardedge.ownership import declare_the_rest, foreign_files, remove_listed

_SHOWN = 5
_LONGEST_PATH = 3500  # bytes: systems take 4096, with the names of the files in it
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSALS = (*_NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM)


def resolve_output(out: Path, option: str = "--out") -> Path:
    """Where `out` leads: a link to a directory, or one above it to what is not there yet, is followed; or BadInput."""
    if not out.is_symlink() and not any(part.is_symlink() and not part.exists() for part in out.parents):
        return out
    try:
        found = out.resolve()
    except (OSError, RuntimeError) as error:
        raise BadInput(f"{out} is a link that leads nowhere ({error}). Give another {option}.") from None
    if found.is_symlink():  # what Python 3.13 makes of a circle
        raise BadInput(f"{out} is a link that leads to itself. Give another {option}.")
    return found


def require_free(out: Path, force: bool | None, inputs: Sequence[Path] = ()) -> None:
    """Raises BadInput unless `out` can be written: it is not there, or `force` and hardedge wrote all that it holds.

    None: it is never replaced. None of `inputs` may be inside. Raises Unavailable where this user cannot write it.
    Call it before any long work.
    """
    _require_name(out)
    with disk_errors():
        out = resolve_output(out)
        sweep(out)
    _require_folders(out.parent)
    if out.exists():
        _require_replaceable(out, force, inputs)
    require_writable(out)


def require_folder(folder: Path, option: str = "--out") -> None:
    """Raises BadInput or Unavailable unless files can be written into `folder`, which may be there, and hold others.

    `option` is what gave the folder. Call it before any long work.
    """
    _require_path(folder, option)
    with disk_errors():
        folder = resolve_output(folder, option)
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file. Give another {option}.")
    _require_folders(folder.parent, option)
    require_writable(folder / "file" if folder.exists() else folder, option)


def _require_name(out: Path) -> None:
    _require_path(out, "--out")
    if not out.name or out.name == "..":
        raise BadInput(f"--out {out} has no name of its own. Give the name of a directory to write.")


def _require_path(out: Path, option: str) -> None:
    fault = text_fault(str(out))
    if fault:
        raise BadInput(f"{option} {quoted(str(out))} {fault}. Give another {option}.")
    if len(os.fsencode(out.absolute())) > _LONGEST_PATH:
        raise BadInput(f"{option} {quoted(str(out))}: the path is too long. Give a shorter {option}.")


def _require_replaceable(out: Path, force: bool | None, inputs: Sequence[Path]) -> None:
    if not force:
        fix = "Remove it first." if force is None else "Give another --out, or --force to replace it."
        raise BadInput(f"{out} exists. {fix}")
    if not out.is_dir():
        raise BadInput(f"{out} is a file, and --force replaces directories only. Give another --out.")
    if out.is_mount():
        raise BadInput(f"{out} is a mount point, which cannot be replaced. Give a directory inside it: {out / 'out'}.")
    inside = [str(path) for path in inputs if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise BadInput(f"--out {out} would replace what is read: {', '.join(inside)}. Give another --out.")
    require_own(out)


def require_own(out: Path) -> None:
    """Raises BadInput naming what is in the directory `out` and no manifest of hardedge there lists."""
    foreign = foreign_files(out)
    if foreign:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise BadInput(
            f"{out} holds files that hardedge did not write ({', '.join(foreign[:_SHOWN])}{more}): not replaced. "
            "Move them elsewhere, or give another --out."
        )


def _require_folders(path: Path, option: str = "--out") -> None:
    existing = _existing(path)
    if not existing.is_dir():
        raise BadInput(f"{existing} is a file: nothing can be written below it. Give another {option}.")


def _existing(path: Path) -> Path:
    return next(part for part in (path, *path.parents) if part.exists())


def require_writable(out: Path, option: str = "--out") -> None:
    """Raises Unavailable where no file or directory `out` can be made, BadInput for a name that is too long."""
    existing = _existing(out.parent)
    part = (out if existing == out.parent else existing / out.relative_to(existing).parts[0]).name
    probe = existing / f".{part}.partial-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
        longest = max(len(os.fsencode(each)) for each in out.parts)
        if longest + len(".") + len(".partial-01234567") > os.pathconf(existing, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, "")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadInput(f"{option} {out}: the name is too long. Give a shorter {option}.") from None
        # of /proc and the like: no such file or directory
        reason = "it takes no directories" if error.errno == errno.ENOENT else error.strerror
        raise Unavailable(f"cannot write {out}: {existing}: {reason}. {_fix(error, option)}") from error


@contextmanager
def staged_directory(out: Path, *, force: bool | None, keep_failed: bool = False) -> Iterator[Path]:
    """A fresh directory beside `out` that becomes `out` when the block ends well, and vanishes when it does not.

    With `keep_failed` it does not vanish, but becomes OUT.failed, which has no manifest. Raises BadInput as
    require_free does, and when OUT.failed is in the way; with `force` the old directory is replaced at the very end.
    What is finished is never removed: where it cannot take its place, it stays beside it, and the error names it.
    """
    require_free(out, force)
    out = resolve_output(out)
    failed = out.with_name(f"{out.name}.failed")
    if keep_failed and failed.exists():
        raise BadInput(f"{failed} exists, kept of an earlier failure. Remove it first.")
    with locked_directory(out) as partial:
        try:
            yield partial
        except BaseException:
            if keep_failed and any(partial.iterdir()):
                partial.rename(failed)
            shutil.rmtree(partial, ignore_errors=True)
            raise
        declare_the_rest(partial)
        put_in_place(partial, out, force)


@contextmanager
def resumable_directory(out: Path, *, force: bool, worth_keeping: Callable[[Path], bool]) -> Iterator[Path]:
    """Where work is written that can be gone on with after a kill: `out` itself, which the block makes.

    With `force` an old `out` stays until the new one is whole; until then that is OUT.next. What the block leaves when
    it fails stays where it is, if it is `worth_keeping`, and vanishes else.
    """
    out = resolve_output(out)
    place = out.with_name(f"{out.name}.next") if out.exists() else out
    if place != out and place.exists():
        require_free(place, force)
        remove_listed(place)
    try:
        yield place
    except BaseException:
        if place.is_dir() and not worth_keeping(place):
            remove_listed(place)
        elif place != out and place.is_dir():
            note(f"{out} is as it was; what was finished is in {place}.")
        raise
    if place != out:
        put_in_place(place, out, force)


def put_in_place(finished: Path, out: Path, force: bool | None) -> None:
    """Renames `finished` to `out`, and removes what hardedge wrote of an old one.

    Where something else is in the way by now, or the file system refuses, what is finished goes to a name beside it,
    and BadInput or Unavailable says so.
    """
    try:
        _replace(finished, out, force)
    except BadInput as error:
        beside = _beside(finished, out)
        raise BadInput(f"while this worked, something else was written to {out}: this is in {beside}.") from error
    except OSError as error:
        beside = _beside(finished, out)
        raise Unavailable(f"cannot write {out}: {error.strerror}. What is finished is in {beside}.") from error


def _beside(finished: Path, out: Path) -> Path:
    beside = out.with_name(f"{out.name}-{secrets.token_hex(4)}")
    with suppress(OSError):
        return finished.rename(beside)
    return finished


def _replace(finished: Path, out: Path, force: bool | None) -> None:
    if not out.exists():
        finished.rename(out)
        return
    _require_replaceable(out, force, ())
    old = out.rename(aside(out))
    try:
        require_own(old)  # again: nobody can write to it by its name now
        finished.rename(out)
    except BaseException:
        old.rename(out)
        raise
    remove_listed(old)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is whole or not there, whatever stops this process; not flushed: it is for many small ones."""
    # not named after the file, whose name may be as long as names can be
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # what it hid is what is wrong
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns an operating system's refusal (disk full, read-only, no permission) into one clear message."""
    try:
        yield
    except OSError as error:
        if error.errno in _REFUSALS:
            where = error.filename2 or error.filename or "the output folder"  # of a copy the place that it goes to
            raise Unavailable(f"cannot write {where}: {error.strerror}. {_fix(error)}") from error
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise BadInput(f"{quoted(str(error.filename))}: {error.strerror}. Give another path.") from error
        raise


def _fix(error: OSError, option: str = "--out") -> str:
    if error.errno in _NO_ROOM:
        return f"Free some space or choose another {option}, then run it again."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Choose another {option}, or ask for the right to write there."
    return f"Choose another {option}."
