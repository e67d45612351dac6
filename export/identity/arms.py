"""The other arms: networks built from a checkpoint and exported in processes of their own, while this one works."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardedge.child_process import ChildResult, start_child
from hardedge.contracts import Contract, to_json
from hardedge.errors import BadInput
from hardedge.export.graph.form import Form

Finished = Callable[[], Path]


@dataclass(frozen=True, kw_only=True)
class CertificateArm(Contract):
    """What to export: the checkpoint's plain network, or the control with a branch beside it.

    `allow_code` says that the network may be a user's own, which is imported.
    """

    kind: Literal["plain", "control"]
    checkpoint: str
    form: Form
    allow_code: bool = False


@contextmanager
def start_arm(arm: CertificateArm) -> Iterator[Finished]:
    """Starts an arm's process; calling what is yielded waits for the ONNX file that it writes.

    The file vanishes, and a process still running is ended, with the block. The call raises BadInput with the
    process's own words when it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hardedge-") as name:
        onnx = Path(name) / "model.onnx"
        with start_child("hardedge.export.identity.arm_process", to_json(arm), str(onnx)) as wait:
            yield lambda: _exported(arm, wait(), onnx)


def _exported(arm: CertificateArm, done: ChildResult, onnx: Path) -> Path:
    if done.status != 0:
        said = done.errors.strip() or f"ended by signal {-done.status}"
        raise BadInput(f"the {arm.kind} network could not be exported in a process of its own:\n{said}")
    return onnx
