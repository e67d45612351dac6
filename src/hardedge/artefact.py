"""Directories that appear whole or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardedge.errors import BadInput, MissingHere

# the top-level names of every artefact: --force replaces a directory only when it holds nothing else
_OURS = re.compile(
    r"weights\.safetensors|last\.safetensors|training_only\.safetensors|state|hardness|tensorboard|metrics\.jsonl"
    r"|model\.onnx|model\.\w+\.onnx|control\.onnx|reference|golden|calibration|certificate\.json|model\.plan"
    r"|(checkpoint|bundle|engine|report|edge_network)\.json|report\.html|junit\.xml|summary\.md|masks|overlays"
    r"|tuning\.json|pareto\.svg|data|checkpoint|bundle|engines|report|\..*\.partial.*"
)


def require_free(out: Path, force: bool | None) -> None:
    """Raises BadInput when `out` exists, unless `force` and it holds only what hardedge writes.

    None: it is never replaced. Call it before any long work.
    """
    if not out.exists():
        return
    if not force:
        cure = "Remove it first." if force is None else "Give another --out, or --force to replace it."
        raise BadInput(f"{out} exists. {cure}")
    if not out.is_dir():
        raise BadInput(f"{out} is a file, and --force replaces directories only. Give another --out.")
    foreign = sorted(path.name for path in out.iterdir() if not _OURS.fullmatch(path.name))
    if foreign:
        shown = ", ".join(foreign[:5])
        raise BadInput(f"{out} holds files that hardedge did not write ({shown}): not replaced. Give another --out.")


@contextmanager
def staged(out: Path, *, force: bool | None) -> Iterator[Path]:
    """A fresh directory beside `out` that becomes `out` when the block ends well, and vanishes when it does not.

    Raises BadInput as require_free does; with `force` the old directory is replaced at the very end.
    """
    require_free(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns an operating system's refusal (disk full, read-only, no permission) into one clear message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG):
            where = error.filename or "the output folder"
            raise MissingHere(
                f"cannot write {where}: {error.strerror}. Free some space or choose another --out, then run it again."
            ) from error
        raise
