"""Builds kept by what they were made of, and TensorRT's timings by what they were measured with."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from hardedge.artefact import require_folder
from hardedge.console import note
from hardedge.contracts import BuildOptions, Profile, sha256_of, write_atomically
from hardedge.deploy.bundles.user_key import require_user_key, user_mac
from hardedge.errors import BadInput


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
    of two that are kept at the same moment one is found or none. A plan is native code: only a folder that its owner
    alone can write is used, and of its entries those that bear this user's code (HMAC) over plan and key.
    """

    root: Path

    def require_usable(self) -> None:
        """Raises BadInput for a folder that somebody else owns or can write, Unavailable where nothing can be kept."""
        require_folder(self.root, "--cache")
        require_user_key()
        if not self.root.exists():
            return
        found = self.root.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise BadInput(
                f"--cache {self.root} can be written by others: a plan that they put there would be run as your own "
                f"build. Use a folder of your own: chmod go-w {self.root}"
            )

    def find(self, key: BuildKey) -> KeptPlan | None:
        """The plan that this user kept under this key; None where there is none, or where it is not what was kept."""
        plan, told = self._paths(key)
        try:
            kept = json.loads(told.read_text())
            digest, seconds = sha256_of(plan), float(kept["seconds"])
            if hmac.compare_digest(kept["mac"], user_mac(_entry(key, digest, seconds))):
                return KeptPlan(plan, seconds)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def keep(self, key: BuildKey, plan: Path, seconds: float) -> None:
        """Copies a plan into the cache; where it cannot be written, a note says so: the build itself is not lost."""
        kept, told = self._paths(key)
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept.parent.mkdir(exist_ok=True)
            content = plan.read_bytes()
            entry = {"seconds": seconds, "mac": user_mac(_entry(key, hashlib.sha256(content).hexdigest(), seconds))}
            _write_atomically_here(kept, content)
            _write_atomically_here(told, json.dumps(entry).encode())
        except OSError as error:
            kept.unlink(missing_ok=True)
            where = error.filename or self.root
            note(
                f"{where} cannot be written ({error.strerror}): this build is not kept. Mend it, or --cache elsewhere."
            )

    def lend_timings(self, key: BuildKey, path: Path) -> None:
        """Copies the timings that fit, if any, to a path where a builder may change them."""
        kept = self._timings(key)
        if kept.is_file():
            shutil.copyfile(kept, path)

    def keep_timings(self, key: BuildKey, path: Path) -> None:
        """Keeps the timings that a builder left at a path, if it left any."""
        if path.is_file():
            kept = self._timings(key)
            try:
                kept.parent.mkdir(parents=True, exist_ok=True)
                _write_atomically_here(kept, path.read_bytes())
            except OSError as error:
                note(f"{self.root} cannot be written ({error.strerror}): TensorRT's timings are not kept.")

    def _paths(self, key: BuildKey) -> tuple[Path, Path]:
        folder = self.root / "plans"
        return folder / f"{key.key()}.plan", folder / f"{key.key()}.json"

    def _timings(self, key: BuildKey) -> Path:
        return self.root / "timing" / f"{key.timing_key()}.cache"


def _write_atomically_here(path: Path, content: bytes) -> None:
    """As write_atomically, under a name of its own until then: another process may write the same file."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_atomically(own, content)
    own.replace(path)


def _entry(key: BuildKey, digest: str, seconds: float) -> bytes:
    return json.dumps(["plan", key.key(), digest, seconds]).encode()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
