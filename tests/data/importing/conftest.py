"""Small folders in the formats of labelling tools, and what their masks must be."""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Import
from hardedge.data.importing.formats import FORMATS
from hardedge.data.importing.source import Options
from hardedge.data.importing.splits import Splitting
from hardedge.data.importing.stage import import_data

SIZE = (20, 30)


@dataclass
class Bench:
    """A folder to write a source in, and its import into another."""

    source: Path
    out: Path
    size: tuple[int, int] = SIZE

    def photo(self, name: str, size: tuple[int, int] | None = None, **saved: Any) -> Path:
        """An image of noise, another one for each name."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (*(size or self.size), 3), np.uint8)
        Image.fromarray(pixels).save(path, **saved)
        return path

    def mask(self, name: str, values_HW: np.ndarray, palette: list[int] | None = None) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(values_HW.astype(np.uint8))
        if palette:
            image.putpalette(palette)
        image.save(path)
        return path

    def text(self, name: str, content: str | dict | list) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
        return path

    def blank(self, value: int = 0) -> np.ndarray:
        return np.full(self.size, value, np.uint8)

    def imported(self, format: str, *, add: bool = False, splitting: Splitting | None = None, **options: Any) -> Import:
        reader = next(each for each in FORMATS if each.name == format)
        return import_data(reader, self.source, self.out, Options(**options), splitting or Splitting(), add)

    def result(self, id: str) -> np.ndarray:
        return np.asarray(Image.open(self.out / f"masks/{id}.png"))

    def classes(self) -> list[str]:
        return [entry["name"] for entry in json.loads((self.out / "classes.json").read_text())["classes"]]

    def split(self, name: str) -> list[str]:
        return (self.out / f"splits/{name}.txt").read_text(encoding="utf-8").split()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    source = tmp_path / "theirs"
    source.mkdir()
    return Bench(source, tmp_path / "ours")


@pytest.fixture
def noted() -> Callable[[Import], dict[tuple[str, str], int]]:
    """The table's counts by what was done and to what."""
    return lambda record: {(note.done, note.what): note.count for note in record.notes}
