"""style.css by itself: whole, its colours defined in both themes, and no rule for what no page has."""

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[3]
CSS = re.sub(r"/\*.*?\*/", "", (files("hardedge.pages") / "style.css").read_text(), flags=re.DOTALL)


def test_its_blocks_are_closed_and_its_declarations_have_values() -> None:
    depth = 0
    for sign in re.findall(r"[{}]", CSS):
        depth += 1 if sign == "{" else -1
        assert 0 <= depth <= 2
    assert depth == 0
    for block in re.findall(r"\{([^{}]*)\}", CSS):
        for declaration in filter(None, (part.strip() for part in block.split(";"))):
            assert re.fullmatch(r"-{0,2}[a-z][\w-]*:\s*\S.*", declaration, re.DOTALL), declaration


def test_every_colour_is_defined_for_light_and_dark_pages() -> None:
    defined = Counter(re.findall(r"(?<![\w-])(--[\w-]+)\s*:", CSS))
    used = set(re.findall(r"var\((--[\w-]+)\)", CSS))
    assert used
    assert {name for name in used if defined[name] < 2} == set()


def test_every_class_is_one_that_a_page_has() -> None:
    selectors = re.findall(r"([^{}]+)\{", CSS)
    classes = {name for selector in selectors for name in re.findall(r"\.([a-zA-Z][\w-]*)", selector)}
    folders = (ROOT / "src/hardedge/pages", ROOT / "deploy", ROOT / "train", ROOT / "src/hardedge/data")
    code = "\n".join(
        path.read_text() for folder in folders for path in folder.rglob("*.*") if path.suffix in (".py", ".js")
    )
    assert len(classes) > 20
    assert {name for name in classes if not re.search(rf"\b{name}\b", code)} == set()
