#!/usr/bin/env python3
"""Writes what hardedge needs of others, from pyproject.toml: requirements.py FOLDER makes device.txt and train.txt."""

import re
import sys
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
EXTRAS = {"device": ["sign", "video"], "train": ["all"]}


def requirements(stage: str) -> list[str]:
    """The lines of the bare install and of the stage's extras, which may name one another as `hardedge[extra,...]`."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    found, left, seen = list(project["dependencies"]), list(EXTRAS[stage]), set()
    while left:
        extra = left.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        for line in project["optional-dependencies"][extra]:
            own = re.fullmatch(r"hardedge\[([\w,-]+)\]", line)
            if own:
                left += own[1].split(",")
            else:
                found.append(line)
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    for stage in EXTRAS:
        (folder / f"{stage}.txt").write_text("\n".join([*requirements(stage), ""]))
