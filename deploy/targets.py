"""What an engine is for: a runtime and a device, named as on the command line; the table of runtimes."""

import difflib
from typing import Final

from hardedge.deploy.backends.backend import Backend
from hardedge.deploy.backends.request import Target
from hardedge.deploy.onnxruntime.backend import ONNXRUNTIME
from hardedge.deploy.openvino.backend import OPENVINO
from hardedge.deploy.tensorrt.backend import RTX_CAPABILITIES, TENSORRT, TENSORRT_RTX
from hardedge.errors import BadInput
from hardedge.synonyms import TARGETS

BACKENDS: Final = (
    ONNXRUNTIME,
    TENSORRT,
    TENSORRT_RTX,
    OPENVINO,
)

KNOWN: Final = {str(target): target for backend in BACKENDS for target in backend.targets}
RTX_TARGETS: Final = tuple(f"tensorrt-rtx:{capability}" for capability in RTX_CAPABILITIES)


def parse_target(name: str) -> Target:
    """The target of that name; raises BadInput with the nearest known one."""
    if name in KNOWN:
        return KNOWN[name]
    nearest = difflib.get_close_matches(name.lower(), KNOWN, n=1, cutoff=0.5)
    meant = TARGETS.get(name.lower()) or (nearest[0] if nearest else None)
    hint = f" Did you mean {meant}?" if meant else ""
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


def on_nvidia(target: str) -> bool:
    """Whether a target's engines run on an NVIDIA GPU."""
    return "gpu" not in backend_of(target).unconcerned[parse_target(target).device]


def backend_of(target: str | Target) -> Backend:
    """The runtime of a target; raises BadInput for an unknown one."""
    name = (parse_target(target) if isinstance(target, str) else target).backend
    return next(backend for backend in BACKENDS if backend.name == name)
