"""What a notebook shows of an artefact: its facts as a small table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html import escape

from hardedge.contracts.base import Manifest, NetworkSpec, SegmentationScore, Task
from hardedge.names import visible

LEFT_OUT = ("schema_id", "files", "made_from", "digest", "machine", "seconds")
NAMED_BY = ("name", "id", "target", "path", "precision", "status", "limit", "found")
MOST = 8  # of a list


def manifest_html(manifest: Manifest) -> str:
    """A manifest's fields as a table: what they are called, how many there are, and what came out."""
    fields = [field.name for field in dataclasses.fields(manifest) if field.name not in LEFT_OUT]
    facts = {name: _shown(getattr(manifest, name)) for name in fields}
    return facts_table(type(manifest).__name__, {name.replace("_", " "): text for name, text in facts.items() if text})


def facts_table(title: str, facts: Mapping[str, str]) -> str:
    """A table with a title, plain text in its cells."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(visible(name))}</th>"
        f"<td style='text-align:left'>{escape(visible(text))}</td></tr>"
        for name, text in facts.items()
    )
    return f"<table><caption>{escape(visible(title))}</caption>{rows}</table>"


def _shown(value: object) -> str:
    if isinstance(value, SegmentationScore):
        return f"mIoU {value.miou:.2f} %"
    if isinstance(value, Task):
        return _several(tuple(entry.name for entry in value.classes))
    if isinstance(value, NetworkSpec):
        return value.name
    if isinstance(value, tuple | list):
        return _several(value)
    if dataclasses.is_dataclass(value):
        words = [str(getattr(value, name)) for name in NAMED_BY if getattr(value, name, None) is not None]
        return " ".join(words) if type(value).__str__ is object.__str__ else str(value)
    return "" if value is None or isinstance(value, Mapping) else str(value)


def _several(values: tuple[object, ...] | list[object]) -> str:
    shown = ", ".join(_shown(value) for value in values[:MOST])
    return f"{shown} and {len(values) - MOST} more" if len(values) > MOST else shown
