"""TensorRT-RTX engines of a converted file for every target that can hold its precision; only whether they build."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hardedge.contracts import EngineCheck, Profile
from hardedge.deploy.engines.build import rtx_digests
from hardedge.deploy.precisions import cannot_hold
from hardedge.errors import BadInput

_NODE = re.compile(r"with name: (\S+) and operator: ")


class EngineRefused(Exception):
    """A node that the builder does not take, by its name in the file, and the builder's words."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(reason)
        self.node = node
        self.reason = reason


def check_engines(
    onnx: Path, precision: str, targets: Sequence[str], profiles: Sequence[Profile]
) -> tuple[EngineCheck, ...]:
    """Builds an engine for each target; raises Refused when the parser names a node that it does not take."""
    if find_spec("tensorrt_rtx") is None:
        absent = "tensorrt_rtx is not installed (pip install 'hardedge[export]')"
        return tuple(EngineCheck(target=target, status="not run here", detail=absent) for target in targets)
    reasons = {target: reason for target in targets if (reason := cannot_hold(target, precision))}
    wanted = [target for target in targets if target not in reasons]
    reasons |= _refusals(onnx, wanted, profiles)
    return tuple(
        EngineCheck(target=target, status="not built" if target in reasons else "built", detail=reasons.get(target, ""))
        for target in targets
    )


def _refusals(onnx: Path, targets: Sequence[str], profiles: Sequence[Profile]) -> dict[str, str]:
    """Why each target's engine was not built; one start of the builder where all are."""
    try:
        rtx_digests(onnx, targets, profiles)
    except BadInput as error:
        named = _NODE.search(str(error))
        if named:
            raise EngineRefused(named[1], first_reason(error)) from error
        if len(targets) == 1:
            return {targets[0]: first_reason(error)}
        return {target: reason for one in targets for target, reason in _refusals(onnx, [one], profiles).items()}
    return {}


def first_reason(error: BadInput) -> str:
    """The last of the builder's own lines that says something: its errors go from the outer to the inner."""
    lines = [line.strip() for line in str(error).splitlines()[1:-1]]
    telling = [line for line in lines if "Invalid Engine" not in line and "Could not parse" not in line]
    return (telling or lines or [str(error)])[-1]
