"""Which version of TensorRT loads a plan."""

from __future__ import annotations

import re
from typing import Final

from hardedge.contracts import Engine

# plans built as version-compatible, by the major that built them: the later major that loads them too (NVIDIA's support
# matrix for TensorRT 11.4.1; 8 on 10 is before what hardedge builds with)
LATER_MAJOR: Final = {10: 11}


def loads_plan(engine: Engine, version: str) -> bool:
    """The version that built it; for a version-compatible plan a later one of its major, or of the next that may."""
    if version == engine.builder_version:
        return True
    here, made_by = release_of(version), release_of(engine.builder_version)
    if not engine.options.version_compatible or not here or not made_by:
        return False
    return (here[0] == made_by[0] and here >= made_by) or LATER_MAJOR.get(made_by[0]) == here[0]


def release_of(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
