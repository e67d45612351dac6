"""Directories that appear whole or not at all."""

import errno
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hardedge.errors import BadInput, Unavailable

# the top-level names of every artefact: --force replaces a directory only when it holds nothing else
_OURS = re.compile(
    r"weights\.safetensors|last\.safetensors|training_only\.safetensors|state|hardness|tensorboard|metrics\.jsonl"
    r"|(model|model\.\w+|control)\.onnx(\.data)?|reference|golden|calibration|certificate\.json|model\.plan"
    r"|(checkpoint|bundle|engine|report|edge_network|served)\.json(\.sig)?|(report|bench|comparison)\.html"
    r"|(bench|comparison)\.json|counts\.npz|predicted\.json|unreadable\.txt|junit\.xml|summary\.md|masks|overlays"
    r"|components\.cdx\.json|hard\.(json|html)|tuning\.json|pareto\.svg|data|checkpoint|bundle|engines|report"
    r"|\..*\.partial.*"
)


# of which it holds at least one: a user's folder may have any of the other names
_SIGNS = (
    *(
        "checkpoint.json",
        "bundle.json",
        "engine.json",
        "report.json",
        "bench.json",
        "comparison.json",
        "edge_network.json",
        "served.json",
        "state/run.json",
    ),
    *("checkpoint/state/run.json", "data/streets", "engines", "overlays", "hard.json", "predicted.json"),
)


def require_free(out: Path, force: bool | None, inputs: Sequence[Path] = ()) -> None:
    """Raises BadInput when `out` exists, unless `force` and it holds only what hardedge writes, and none of `inputs`.

    None: it is never replaced. Call it before any long work.
    """
    _require_folders(out.parent)
    if not out.exists():
        return
    if not force:
        fix = "Remove it first." if force is None else "Give another --out, or --force to replace it."
        raise BadInput(f"{out} exists. {fix}")
    if not out.is_dir():
        raise BadInput(f"{out} is a file, and --force replaces directories only. Give another --out.")
    inside = [str(path) for path in inputs if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise BadInput(f"--out {out} would replace what is read: {', '.join(inside)}. Give another --out.")
    there = sorted(path.name for path in out.iterdir())
    foreign = [name for name in there if not _OURS.fullmatch(name)]
    if there and not foreign and not any((out / sign).exists() for sign in _SIGNS):
        foreign = there
    if foreign:
        shown = ", ".join(foreign[:5])
        raise BadInput(f"{out} holds files that hardedge did not write ({shown}): not replaced. Give another --out.")


def _require_folders(path: Path) -> None:
    existing = next(part for part in (path, *path.parents) if part.exists())
    if not existing.is_dir():
        raise BadInput(f"{existing} is a file: nothing can be written below it. Give another --out.")


@contextmanager
def staged_directory(out: Path, *, force: bool | None, keep_failed: bool = False) -> Iterator[Path]:
    """A fresh directory beside `out` that becomes `out` when the block ends well, and vanishes when it does not.

    With `keep_failed` it does not vanish, but becomes OUT.failed, which has no manifest. Raises BadInput as
    require_free does, and when OUT.failed is in the way; with `force` the old directory is replaced at the very end.
    """
    require_free(out, force)
    failed = out.with_name(f"{out.name}.failed")
    if keep_failed and failed.exists():
        raise BadInput(f"{failed} exists, kept of an earlier failure. Remove it first.")
    partial = out.parent / f".{out.name}.partial-{secrets.token_hex(4)}"
    try:
        partial.mkdir(parents=True)
    except FileNotFoundError as error:  # what /proc and the like say
        raise Unavailable(f"cannot write {out}: {out.parent} takes no directories. Choose another --out.") from error
    try:
        try:
            yield partial
        except BaseException:
            if keep_failed and any(partial.iterdir()):
                partial.rename(failed)
            raise
        _rename_into_place(partial, out, force)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rename_into_place(partial: Path, out: Path, force: bool | None) -> None:
    """Renames `partial` to `out`; where something is in the way by now, to a name beside it, and raises BadInput."""
    try:
        require_free(out, force)
    except BadInput as error:
        beside = out.with_name(f"{out.name}-{secrets.token_hex(4)}")
        partial.rename(beside)
        raise BadInput(f"while this worked, something else was written to {out}: this is in {beside}.") from error
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is whole or not there, whatever stops this process; not flushed: it is for many small ones."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns an operating system's refusal (disk full, read-only, no permission) into one clear message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG):
            where = error.filename2 or error.filename or "the output folder"  # of a copy the place that it goes to
            raise Unavailable(
                f"cannot write {where}: {error.strerror}. Free some space or choose another --out, then run it again."
            ) from error
        raise
