"""The other arms: networks built from a checkpoint and exported in processes of their own, while this one works."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardedge.contracts import Contract, to_json
from hardedge.errors import BadInput
from hardedge.export.graph.form import Form

Finished = Callable[[], Path]


@dataclass(frozen=True, kw_only=True)
class CertificateArm(Contract):
    """What to export: the checkpoint's plain network, or the control with a branch beside it."""

    kind: Literal["plain", "control"]
    checkpoint: str
    form: Form


@contextmanager
def start_arm(arm: CertificateArm) -> Iterator[Finished]:
    """Starts an arm's process; calling what is yielded waits for the ONNX file that it writes.

    The file vanishes, and a process still running is ended, with the block. The call raises BadInput with the
    process's own words when it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hardedge-") as name:
        folder = Path(name)
        with (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                # -P: a file in the user's directory must not stand for a library's module
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "hardedge.export.identity.arm_process",
                    to_json(arm),
                    str(folder / "model.onnx"),
                ],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            yield lambda: _wait_for(process, arm, folder)
        finally:
            process.kill()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", arm: CertificateArm, folder: Path) -> Path:
    if process.wait() != 0:
        told = (folder / "errors").read_text(errors="replace").strip() or f"ended by signal {-process.returncode}"
        raise BadInput(f"the {arm.kind} network could not be exported in a process of its own:\n{told}")
    return folder / "model.onnx"
