"""Precisions: their names, and which targets can hold them."""

import difflib

from hardedge.deploy.targets import parse_target
from hardedge.errors import BadInput

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")

# the first architectures with arithmetic of that type
_FIRST_ARCHITECTURE = {"bf16": 80, "fp8": 89}


def parse_precisions(text: str) -> tuple[str, ...]:
    """Names of precisions separated by commas; raises BadInput for an unknown one, and for one named twice."""
    names = tuple(item.strip().lower() for item in text.split(","))
    for name in names:
        if name not in PRECISIONS:
            nearest = difflib.get_close_matches(name, PRECISIONS, n=1, cutoff=0.4)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            raise BadInput(f'unknown precision "{name}".{hint} Known: {", ".join(PRECISIONS)}.')
        if names.count(name) > 1:
            raise BadInput(f'precisions "{text}": {name} is named twice. Name it once.')
    return names


def cannot_hold(target: str, precision: str) -> str | None:
    """Why a target cannot hold a precision, in words; None where it can, or where only its builder knows."""
    known = parse_target(target)
    if known.backend == "onnxruntime" and precision == "bf16":
        return "onnxruntime has no BF16 convolutions"
    first = _FIRST_ARCHITECTURE.get(precision)
    if known.backend == "tensorrt-rtx" and first and int(str(known.device).removeprefix("sm")) < first:
        return f"{precision.upper()} needs SM{first} or later"
    return None
