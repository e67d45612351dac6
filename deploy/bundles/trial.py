"""The first run of a file of others, on one input, in a process with limits of time and memory."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hardedge.child_process import run_child
from hardedge.errors import BadInput
from hardedge.graphs.files import write_onnx

if TYPE_CHECKING:
    import onnx

SECONDS: Final = 300
SHARE: Final = 0.75  # of this machine's memory
_NO_MEMORY: Final = 3


def require_ends(model: onnx.ModelProto, source: str, values: npt.NDArray[Any], output: str, name: str) -> None:
    """Raises BadInput unless the file gives `output` of `values` within SECONDS and SHARE of this machine's memory.

    `name` is what messages call the file, `source` its input. A file that onnxruntime refuses ends too: whoever runs it
    next says why.
    """
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        write_onnx(model, Path(folder) / "model.onnx")
        np.save(Path(folder) / "image.npy", values)
        done = run_child("hardedge.deploy.bundles.trial", folder, source, output, str(SECONDS), str(_memory()))
    if done.status == 0:
        return
    if done.status == -signal.SIGALRM:
        reason = f"it did not end within {SECONDS} s"
    elif done.status == _NO_MEMORY:
        reason = f"it needs more than {_memory() / 2**30:.1f} GiB of memory"
    else:
        reason = f"it ended its process with status {done.status}"
    shape = "x".join(map(str, values.shape))
    raise BadInput(f"{name} does not run on one image, {shape} ({reason}). Look at what it computes.")


def _memory() -> int:
    return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def main(folder: str, source: str, output: str, seconds: str, memory: str) -> None:
    """Runs the model of the folder on its image; the system ends this process where that takes too long."""
    signal.alarm(int(seconds))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what fails is raised
    try:
        session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
        session.run([output], {source: np.load(f"{folder}/image.npy")})
    except Exception as error:  # onnxruntime's exceptions have no common base
        if isinstance(error, MemoryError) or re.search("bad_alloc|allocate", str(error)):
            sys.exit(_NO_MEMORY)


if __name__ == "__main__":
    main(*sys.argv[1:])
