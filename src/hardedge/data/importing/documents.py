"""Text files of annotations, with the line of whatever is wrong in them: JSON, XML, YAML and plain tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardedge.errors import BadInput, missing_extra

_SPACE = " \t\n\r"


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark; raises BadInput for any other."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise BadInput(f"{path}: cannot be read as UTF-8 text ({error}).") from None


@dataclass(frozen=True)
class Place:
    """A value in a JSON document, by its keys; as text its file and line."""

    document: Json
    keys: tuple[str | int, ...]

    def __str__(self) -> str:
        return f"{self.document.path}:{self.document.line(self.keys)}"


@dataclass(frozen=True)
class Json:
    """A JSON document and where its values are."""

    path: Path
    text: str
    value: Any

    def at(self, *keys: str | int) -> Place:
        return Place(self, keys)

    def line(self, keys: tuple[str | int, ...]) -> int:
        """The line on which a value begins; of one that is not there, the line of what should hold it."""
        place = _skipped(self.text, 0)
        for key in keys:
            inner = next((start for name, start in _members(self.text, place) if name == key), None)
            if inner is None:
                break
            place = inner
        return self.text.count("\n", 0, place) + 1


def read_json(path: Path) -> Json:
    """Raises BadInput with the line of what is no JSON."""
    text = read_text(path)
    try:
        return Json(path, text, json.loads(text))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}:{error.lineno}: not valid JSON ({error.msg}, column {error.colno}).") from None
    except RecursionError:
        raise BadInput(f"{path}: JSON nested too deeply.") from None


def _members(text: str, place: int) -> Iterator[tuple[str | int, int]]:
    """Each key or index of the object or list that begins at `place`, and where its value begins."""
    opening, place, index = text[place], _skipped(text, place + 1), 0
    while opening in "{[" and text[place] not in "}]":
        key: str | int = index
        if opening == "{":
            key, place = json.JSONDecoder(strict=False).raw_decode(text, place)
            place = _skipped(text, _skipped(text, place) + 1)
        yield key, place
        _, place = json.JSONDecoder(strict=False).raw_decode(text, place)
        place = _skipped(text, place)
        place = _skipped(text, place + 1) if text[place] == "," else place
        index += 1


def _skipped(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


@dataclass
class Node:
    """An XML element and the line that it begins on."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, *tags: str) -> Iterator[Node]:
        """The children with one of these tags."""
        return (child for child in self.children if child.tag in tags)

    def inner(self, *tags: str) -> Node | None:
        """The first element below a path of tags."""
        node: Node | None = self
        for tag in tags:
            node = next(node.all(tag), None) if node else None
        return node


def read_xml(path: Path) -> Node:
    """Raises BadInput with the line of what is no XML; a document type, which may expand without end, is refused."""
    from xml.parsers import expat

    parser = expat.ParserCreate()
    root = Node("", {}, 0)
    stack = [root]

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag, attributes, parser.CurrentLineNumber)
        stack[-1].children.append(node)
        stack.append(node)

    def text(content: str) -> None:
        stack[-1].text += content

    def refuse(*_: object) -> None:
        raise BadInput(f"{path}:{parser.CurrentLineNumber}: has a document type, which no labelling tool writes.")

    parser.StartElementHandler, parser.EndElementHandler = start, lambda _: stack.pop()
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise BadInput(f"{path}:{error.lineno}: not valid XML ({expat.ErrorString(error.code)}).") from None
    except (OSError, ValueError, LookupError) as error:
        raise BadInput(f"{path}: cannot be read ({error}).") from None
    return root.children[0]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of keys; raises BadInput with the line of what is none, Unavailable without PyYAML."""
    try:
        import yaml
    except ImportError:
        raise missing_extra("pyyaml", "import") from None
    try:
        value = yaml.safe_load(read_text(path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(f"{path}:{line}: not valid YAML ({error.problem}).") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not valid YAML ({error}).") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path}:1: expected keys such as train, val and names.")
    return value


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The lines that are neither empty nor a comment, with their numbers; raises BadInput as `read_text` does."""
    numbered = enumerate(read_text(path).splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip() and not line.lstrip().startswith("#")]
