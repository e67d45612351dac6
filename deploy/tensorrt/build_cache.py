"""Builds kept by what they were made of, and TensorRT's timings by what they were measured with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from hardedge.console import note
from hardedge.contracts import BuildOptions, Profile, sha256_of, write_atomically


@dataclass(frozen=True)
class BuildKey:
    """Everything that a plan follows from: the ONNX file by digest, builder, device, sizes, options, and which build.

    `device` is a name that tells devices apart (sm86, or this machine's GPU); `build` counts builds of the same arm,
    which TensorRT makes differently each time.
    """

    onnx_sha256: str
    builder: str
    builder_version: str
    device: str
    profiles: tuple[Profile, ...]
    options: BuildOptions
    build: int

    def key(self) -> str:
        """A digest of all of it."""
        return _digest(dataclasses.asdict(self))

    def timing_key(self) -> str:
        """A digest of what timings depend on: version, device, options. Not the network: layers recur."""
        parts = (self.builder, self.builder_version, self.device, dataclasses.asdict(self.options))
        return _digest(parts)


@dataclass(frozen=True)
class KeptPlan:
    """A plan of the cache: its file and the seconds that building it took."""

    path: Path
    seconds: float


@dataclass(frozen=True)
class BuildCache:
    """A folder with plans/KEY.plan, each with its digest beside it, and timing/KEY.cache.

    A plan is written before its digest, both by renaming: an interrupted build leaves nothing that would be reused, and
    of two that are kept at the same moment one is found or none.
    """

    root: Path

    def find(self, recipe: BuildKey) -> KeptPlan | None:
        """The plan that was kept for this recipe; None where there is none, or where it is not what was kept."""
        plan, told = self._paths(recipe)
        try:
            kept = json.loads(told.read_text())
            if sha256_of(plan) == kept["sha256"]:
                return KeptPlan(plan, float(kept["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def keep(self, recipe: BuildKey, plan: Path, seconds: float) -> None:
        """Copies a plan into the cache; where it cannot be written, a note says so: the build itself is not lost."""
        kept, told = self._paths(recipe)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically_here(kept, plan.read_bytes())
            _write_atomically_here(told, json.dumps({"sha256": sha256_of(plan), "seconds": seconds}).encode())
        except OSError as error:
            kept.unlink(missing_ok=True)
            note(f"{self.root} cannot be written ({error.strerror}): this build is not kept. Free some space there.")

    def lend_timings(self, recipe: BuildKey, path: Path) -> None:
        """Copies the timings that fit, if any, to a path where a builder may change them."""
        kept = self._timings(recipe)
        if kept.is_file():
            shutil.copyfile(kept, path)

    def keep_timings(self, recipe: BuildKey, path: Path) -> None:
        """Keeps the timings that a builder left at a path, if it left any."""
        if path.is_file():
            kept = self._timings(recipe)
            try:
                kept.parent.mkdir(parents=True, exist_ok=True)
                _write_atomically_here(kept, path.read_bytes())
            except OSError as error:
                note(f"{self.root} cannot be written ({error.strerror}): TensorRT's timings are not kept.")

    def _paths(self, recipe: BuildKey) -> tuple[Path, Path]:
        folder = self.root / "plans"
        return folder / f"{recipe.key()}.plan", folder / f"{recipe.key()}.json"

    def _timings(self, recipe: BuildKey) -> Path:
        return self.root / "timing" / f"{recipe.timing_key()}.cache"


def _write_atomically_here(path: Path, content: bytes) -> None:
    """As write_atomically, under a name of its own until then: another process may write the same file."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_atomically(own, content)
    own.replace(path)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
