"""Documents that are generated are up to date."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_schemas_are_those_of_the_contracts() -> None:
    generated = runpy.run_path(str(ROOT / "docs/generate.py"))["generated"]()
    written = {path.name: path.read_text() for path in (ROOT / "docs/schema").glob("*.json")}
    assert written == generated, "run: python docs/generate.py"
