"""Reads what a training logged, for the bundle and its report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardedge.contracts import TrainingCurves, to_json, write_atomically

METRICS = "metrics.jsonl"
MOST = 150


def write_training_curves(checkpoint: Path, directory: Path) -> None:
    """Writes training.json from a checkpoint's metrics.jsonl; nothing where that has no step."""
    if curves := read_training_curves(checkpoint / METRICS):
        write_atomically(directory / TrainingCurves.FILE, to_json(curves).encode())


def read_training_curves(path: Path) -> TrainingCurves | None:
    """The curves of a metrics.jsonl, thinned, without lines that were cut; None without the file or a curve in it."""
    if not path.is_file():
        return None
    records = [record for line in path.read_text(encoding="utf-8").splitlines() for record in _parsed(line)]
    logged = _thinned([record for record in records if isinstance(record.get("terms"), dict)])
    scored = _thinned([record for record in records if "miou" in record])
    if not logged and not scored:
        return None
    names = dict.fromkeys(name for record in logged for name in record["terms"])
    return TrainingCurves(
        steps=tuple(record["step"] for record in logged),
        terms={name: tuple(_finite(record["terms"].get(name)) for record in logged) for name in names},
        learning_rate=tuple(_finite(record.get("learning_rate")) for record in logged),
        evaluated=tuple(record["step"] for record in scored),
        miou=tuple(_finite(record["miou"]) for record in scored),
    )


def _parsed(line: str) -> list[Mapping[str, Any]]:
    try:
        record = json.loads(line)
    except ValueError:
        return []
    return [record] if isinstance(record, dict) and type(record.get("step")) is int else []


def _thinned(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not records:
        return []
    places = np.unique(np.linspace(0, len(records) - 1, min(len(records), MOST)).astype(int))
    return [records[place] for place in places]


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
