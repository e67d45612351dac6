"""Sections of text and tables that are written as Markdown and as HTML alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardedge.names import visible
from hardedge.pages.markup import Markup, html_table, note_line, section


@dataclass(frozen=True)
class Table:
    """A table: what it shows, its heads, its rows."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Part:
    """A heading with its paragraphs, and tables after them."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def parts_markdown(parts: Sequence[Part]) -> str:
    """The parts as Markdown, a second-level heading each."""
    return "\n".join(_part_markdown(part) for part in parts)


def parts_html(parts: Sequence[Part]) -> list[Markup]:
    """The parts as sections of a page."""
    return [
        section(
            part.title,
            *(note_line(text) for text in part.text),
            *(html_table(each.caption, each.head, each.rows) for each in part.tables),
        )
        for part in parts
    ]


def _part_markdown(part: Part) -> str:
    lines = [f"## {part.title}", ""]
    for text in part.text:
        lines += [_escaped(text), ""]
    for table in part.tables:
        lines += [f"{_escaped(table.caption)}:", "", _row(table.head), _row(("---",) * len(table.head))]
        lines += [*(_row(tuple(map(_escaped, row))) for row in table.rows), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = " ".join(visible(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in flat)
