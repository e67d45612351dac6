"""TensorRT-RTX's runtime cache: kernels that it compiled for a plan on this GPU, kept beside it for the next process.

Kernels are native code. A cache is loaded only if it bears this user's code (HMAC) over its bytes and the plan's
digest: what somebody else put there, or what belongs to another plan, is left alone.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

from hardedge.artefact import disk_errors
from hardedge.console import note
from hardedge.contracts import Engine, write_atomically
from hardedge.deploy.bundles.user_key import user_mac
from hardedge.errors import HardedgeError

CACHE: Final = f"{Engine.FILE}.kernels"  # beside the manifest and no part of it: its digest stays what it is
_CODE: Final = 64  # hexadecimal digits in front of the kernels


def read_kept(directory: Path, engine: Engine) -> bytes | None:
    """The kernels that this user kept for this plan; None where there are none, or where they are not what was kept."""
    try:
        content = (directory / CACHE).read_bytes()
        code, kernels = content[:_CODE], content[_CODE:]
        if kernels and hmac.compare_digest(code, _code_of(kernels, engine)):
            return kernels
    except OSError:
        return None
    return None


def keep(directory: Path, engine: Engine, kernels: bytes) -> None:
    """Writes the kernels beside the plan; a directory that cannot be written is told once and costs nothing else."""
    if not kernels:
        return
    try:
        with disk_errors():
            write_atomically(directory / CACHE, _code_of(kernels, engine) + kernels)
    except (HardedgeError, OSError) as error:
        note(f"{directory}: the compiled kernels are not kept ({error}).")


def _code_of(kernels: bytes, engine: Engine) -> bytes:
    return user_mac(engine.files[engine.plan].encode() + b"\n" + kernels).encode()
