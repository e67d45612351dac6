"""What an engine is for: a runtime and a device, named as on the command line."""

import difflib
from dataclasses import dataclass
from typing import Literal

from hardedge.errors import BadInput

Backend = Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]

RTX_CAPABILITIES = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
RTX_TARGETS = tuple(f"tensorrt-rtx:{capability}" for capability in RTX_CAPABILITIES)


@dataclass(frozen=True)
class Target:
    """A runtime and its device.

    cpu, cuda or tensorrt for onnxruntime, a compute capability for TensorRT-RTX, none for TensorRT.
    """

    backend: Backend
    device: str | None = None

    def __str__(self) -> str:
        return f"{self.backend}:{self.device}" if self.device else self.backend


KNOWN = {
    str(target): target
    for target in (
        Target("onnxruntime", "cpu"),
        Target("onnxruntime", "cuda"),
        Target("onnxruntime", "tensorrt"),
        Target("tensorrt"),
        *(Target("tensorrt-rtx", device) for device in RTX_CAPABILITIES),
    )
}


def parse_target(name: str) -> Target:
    """The target of that name; raises BadInput with the nearest known one."""
    if name in KNOWN:
        return KNOWN[name]
    nearest = difflib.get_close_matches(name.lower(), KNOWN, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    raise BadInput(f'unknown target "{name}".{hint} Known: {", ".join(KNOWN)}.')


def parse_targets(text: str) -> tuple[str, ...]:
    """Names of targets separated by commas; a device alone continues the runtime before it: `tensorrt-rtx:sm86,sm89`.

    Raises BadInput for an unknown target, and for one named twice.
    """
    targets: list[Target] = []
    for item in text.split(","):
        name = item.strip()
        continued = f"{targets[-1].backend}:{name}" if targets else name
        target = KNOWN[continued] if continued in KNOWN and name not in KNOWN else parse_target(name)
        if target in targets:
            raise BadInput(f'targets "{text}": {target} is named twice. Name it once.')
        targets.append(target)
    return tuple(str(target) for target in targets)
