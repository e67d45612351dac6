"""What runs on Ray's workers: a loaded network that labels files, some at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hardedge.artefact import write_whole
from hardedge.contracts import Profile
from hardedge.data.decoding import open_image, orientation, read_image
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.media.images import header_faults
from hardedge.deploy.media.video import mask_png
from hardedge.deploy.prediction.predict import Picture, Pixels, open_segmenter, skip_unreadable, with_masks
from hardedge.deploy.prediction.threads import prefetch, write_behind
from hardedge.errors import BadInput


@dataclass(frozen=True)
class Work:
    """What each worker needs to know; the paths are absolute, and the same on every machine."""

    bundle: Path
    engine: Path | None
    target: str | None
    trust: Trust | None
    masks: Path


def mask_path(masks: Path, image: str) -> Path:
    """Where an image's mask is."""
    return masks / f"{Path(image).stem}.png"


class Labeller:
    """One worker: a loaded network, which is given the paths of some images at a time."""

    def __init__(self, work: Work) -> None:
        bundle = load_bundle(work.bundle, work.trust)
        self.work, self.task, self.profiles = work, bundle.manifest.task, bundle.manifest.profiles
        self.segmenter = open_segmenter(bundle, work.engine, work.target, threads=1)

    def __call__(self, batch: Mapping[str, npt.NDArray[Any]]) -> dict[str, list[str]]:
        """A column of one JSON text: masks made or found, images whose rotation is not applied, what is unreadable."""
        (paths,) = (json.loads(text) for text in batch["item"])
        left = [Path(path) for path in paths if not mask_path(self.work.masks, path).exists()]
        faults: list[str] = []
        rotated: list[Path] = []
        pictures = skip_unreadable(prefetch(left, lambda path: _read(path, self.profiles, rotated), 1), faults)
        for _ in write_behind(with_masks(self.segmenter, pictures), self._write, 1):
            pass
        made = len(paths) - len(faults)
        return {"result": [json.dumps({"made": made, "rotated": len(rotated), "faults": faults})]}

    def _write(self, result: tuple[Picture, Pixels]) -> None:
        picture, mask_HW = result
        write_whole(mask_path(self.work.masks, str(picture.path)), mask_png(mask_HW, self.task))


def _read(path: Path, profiles: tuple[Profile, ...], rotated: list[Path]) -> Picture | str:
    try:
        with open_image(path) as image:
            faults = header_faults(image, profiles)
            rotated += [path] if orientation(image) != 1 else []
        return f"{path}: {'; '.join(faults)}" if faults else Picture(path, read_image(path))
    except BadInput as error:
        return str(error)
