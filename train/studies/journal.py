"""Optuna's journal in a file, which goes on after a process that was killed while it wrote, or a disk that was full."""

import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from hardedge.errors import BadInput, first_line

RECORD = b'{"op_code":'  # what each line of a journal begins with


class MendingLock(JournalFileSymlinkLock):
    """Optuna's lock of a journal; who takes it drops the record that a process before it did not write to its end."""

    def __init__(self, path: Path) -> None:
        # absolute: through a relative link Optuna does not see the lock of a process that is gone, and waits for ever
        super().__init__(str(path.absolute()))
        self._path = path

    def acquire(self) -> bool:
        taken = super().acquire()
        drop_cut_record(self._path)
        return taken


def journal(path: Path) -> JournalStorage:
    """The journal in a file, an empty one where there is none; raises BadInput for a file that is something else."""
    if not path.parent.is_dir():
        raise BadInput(f"--storage {path}: {path.parent} is not a folder. Make it, or give another file.")
    try:
        _require_ours(path)
        return JournalStorage(JournalFileBackend(str(path), MendingLock(path)))
    except (ValueError, KeyError, TypeError, IsADirectoryError) as error:
        raise BadInput(f"{path} is no journal of Optuna's ({first_line(error)}). Give another --storage.") from None


def _require_ours(path: Path) -> None:
    """Raises ValueError for a file with a first line of something else, which Optuna passes over if it has no end."""
    if path.exists():
        with path.open("rb") as file:
            begun = file.read(len(RECORD))
        if not RECORD.startswith(begun):
            raise ValueError(f"it begins with {begun!r}")


def drop_cut_record(path: Path) -> None:
    """Cuts the file after its last whole line; nobody else writes meanwhile."""
    if not path.stat().st_size:
        return
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
