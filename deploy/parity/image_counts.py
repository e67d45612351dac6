"""What a report keeps of every test image, so that two runs can be compared: `counts.npz`."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.contracts import ReferenceImage, Report, write_atomically
from hardedge.deploy.parity.confusions import Confusions, confusion_fault
from hardedge.errors import BadInput
from hardedge.metrics import Counts

FILE = "counts.npz"
CONFUSED = ("starts", "pairs", "pixels")  # of each arm: Confusions.arrays
LARGEST = 1 << 30  # bytes of one array: 300 times those of a validation set of 2000 images and 150 classes
_CURE = "Copy the report again, or make it again: hardedge verify"


@dataclass(frozen=True)
class ImageCounts:
    """The test images, and of each the pixels hit, labelled and predicted of every class, int64 [N, C, 3].

    `reference` is the reference run, `engines` those of the report's `parity`, in its order; an engine that broke off
    has the images before. The confusions are of the same arms; None, and none, where an earlier version wrote them.
    """

    images: tuple[ReferenceImage, ...]
    reference_NC3: Counts
    engines: tuple[Counts, ...]
    reference_confusions: Confusions | None = None
    engine_confusions: tuple[Confusions, ...] = ()


def write_counts(found: ImageCounts, directory: Path) -> None:
    """Writes counts.npz into a report's directory, before it is sealed."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "ids": np.array([image.id for image in found.images]),
        "image_sha256": np.array([image.image_sha256 for image in found.images]),
        "label_sha256": np.array([image.label_sha256 for image in found.images]),
        "reference": found.reference_NC3,
        **{f"engine_{index}": counts for index, counts in enumerate(found.engines)},
    }
    arms = {"reference": found.reference_confusions}
    arms |= {f"engine_{index}": confusions for index, confusions in enumerate(found.engine_confusions)}
    for arm, confusions in arms.items():
        if confusions:
            arrays |= {f"{arm}_{name}": array for name, array in confusions.arrays().items()}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    write_atomically(directory / FILE, file.getvalue())


def read_counts(directory: Path, report: Report) -> ImageCounts:
    """The counts of a loaded report; raises BadInput where it has none, or the file holds anything else."""
    if FILE not in report.files:
        fix = "Make it again with this version: hardedge verify"
        raise BadInput(f"{directory} has no {FILE}: its report keeps no counts of single images. {fix}")
    path = directory / FILE
    try:
        with zipfile.ZipFile(path) as archive:
            if large := [entry.filename for entry in archive.infolist() if entry.file_size > LARGEST]:
                raise ValueError(f"{large[0]} is above {LARGEST >> 20} MiB")
        with np.load(path, allow_pickle=False) as stored:
            names = [stored[name] for name in ("ids", "image_sha256", "label_sha256")]
            arm_names = ("reference", *(f"engine_{i}" for i in range(len(report.parity))))
            arms = [stored[name] for name in arm_names]
            confusions = [
                Confusions(*(stored[f"{arm}_{name}"] for name in CONFUSED))
                for arm in arm_names
                if f"{arm_names[0]}_{CONFUSED[0]}" in stored.files
            ]
        if any(array.dtype.kind != "U" for array in names):
            raise ValueError("ids and digests are no text")
        if len(np.unique(names[0])) != len(names[0]):
            raise ValueError("an id is there twice")
        images = tuple(
            ReferenceImage(id=id, image_sha256=image, label_sha256=label)
            for id, image, label in zip(*(array.tolist() for array in names), strict=True)
        )
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path} cannot be read as a report's counts ({error}). {_CURE}") from None
    lengths = (len(images), *(run.images for run in report.parity))
    _require_counts(path, arms, lengths, report.task.num_classes)
    if not arms[0][..., 1].any():
        raise BadInput(f"{path}: no labelled pixel in any test image, so that nothing can be compared. {_CURE}")
    for parts_NC3, confused in zip(arms, confusions, strict=False):
        _require_confusions(path, confused, parts_NC3)
    return ImageCounts(images, arms[0], tuple(arms[1:]), confusions[0] if confusions else None, tuple(confusions[1:]))


def _require_confusions(path: Path, found: Confusions, parts_NC3: Counts) -> None:
    types = ", ".join(str(array.dtype) for array in found.arrays().values())
    if types != "int64, uint8, int64":
        raise BadInput(f"{path}: confusions of types {types}. {_CURE}")
    if fault := confusion_fault(found, parts_NC3):
        raise BadInput(f"{path}: {fault}. {_CURE}")


def _require_counts(path: Path, arms: Sequence[Counts], lengths: Sequence[int], classes: int) -> None:
    for counts, images in zip(arms, lengths, strict=True):
        shape = (images, classes, 3)
        if counts.shape != shape or counts.dtype != np.int64:
            found = f"{counts.dtype} {list(counts.shape)}"
            raise BadInput(f"{path}: {found}, expected counts int64 {list(shape)}. {_CURE}")
        hit, labelled, predicted = np.moveaxis(counts, -1, 0)
        if (hit < 0).any() or (hit > np.minimum(labelled, predicted)).any():
            raise BadInput(f"{path}: more pixels hit than labelled or predicted. {_CURE}")
        if not np.array_equal(labelled, arms[0][:images, :, 1]):
            raise BadInput(f"{path}: an engine's labelled pixels are others than the reference's. {_CURE}")
