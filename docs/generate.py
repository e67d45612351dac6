"""Writes docs/schema/*.json from the contracts: python docs/generate.py. A test compares them."""

import json
from pathlib import Path

from hardedge.contracts import Bundle, Certificate, Checkpoint, EdgeNetworkManifest, Engine, Report, json_schema

CONTRACTS = (Checkpoint, EdgeNetworkManifest, Bundle, Certificate, Engine, Report)


def generated() -> dict[str, str]:
    """The text of each schema file, by file name."""
    return {f"{kind.__name__.lower()}.json": json.dumps(json_schema(kind), indent=1) + "\n" for kind in CONTRACTS}


if __name__ == "__main__":
    for name, text in generated().items():
        (Path(__file__).parent / "schema" / name).write_text(text)
