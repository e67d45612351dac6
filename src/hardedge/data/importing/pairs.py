"""One image of a source written as an image and a mask, with what happened to it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hardedge.artefact import write_whole
from hardedge.data.importing.classes import UNLABELLED, Plan
from hardedge.data.importing.painting import Painted, painted
from hardedge.data.importing.pictures import Picture, store
from hardedge.data.importing.source import Options, Order, Sample
from hardedge.data.palette import palette_image
from hardedge.errors import BadInput


@dataclass(frozen=True)
class Written:
    """An image and its mask in the data set's folder; `pixels` [256] are the mask's values."""

    id: str
    sample: Sample
    picture: Picture | None
    mask_sha256: str
    pixels: npt.NDArray[np.int64]
    regions: Counter[str]
    overlapped: Counter[tuple[int, int]]
    notes: Counter[tuple[str, str, str]]
    faults: tuple[tuple[object, str], ...]


def write_pair(sample: Sample, id: str, folder: Path, plan: Plan, order: Order, options: Options) -> Written:
    """Writes images/ID.* and masks/ID.png; what is wrong with the image or its labels is in the result.

    Raises BadInput when pixels have no label and nothing says what they become.
    """
    try:
        picture = store(sample.image, folder / "images", id, options.exif, options.link)
    except BadInput as error:
        return _failed(id, sample, [(sample.where, str(error))])
    if sample.size and sample.size != picture.size:
        return _failed(id, sample, [(sample.where, _other_size(sample.size, picture, options))])
    result = painted(sample, picture.size, plan, order)
    if result.faults:
        hint = f"; {_turned_hint(options)}" if picture.turned else ""
        return _failed(id, sample, [(where, f"{problem}{hint}") for where, problem in result.faults])
    mask_HW = _whole_mask(result, sample, plan)
    content = BytesIO()
    palette_image(mask_HW, plan.task).save(content, format="PNG")
    write_whole(folder / "masks" / f"{id}.png", content.getvalue())
    notes = result.notes + Counter({("changed", "image", change): 1 for change in picture.changes})
    if not (sample.regions or sample.raster):
        notes["read", "image without a label", ""] += 1
    return Written(
        id=id,
        sample=sample,
        picture=picture,
        mask_sha256=hashlib.sha256(content.getvalue()).hexdigest(),
        pixels=np.bincount(mask_HW.reshape(-1), minlength=256),
        regions=result.regions,
        overlapped=result.overlapped,
        notes=notes,
        faults=(),
    )


def _failed(id: str, sample: Sample, faults: list[tuple[object, str]]) -> Written:
    nothing = np.zeros(256, np.int64)
    return Written(id, sample, None, "", nothing, Counter(), Counter(), Counter(), tuple(faults))


def _other_size(size: tuple[int, int], picture: Picture, options: Options) -> str:
    height, width = picture.size
    hint = f"; {_turned_hint(options)}" if picture.turned else ""
    return f"labels of {size[0]}x{size[1]} pixels, but the image has {height}x{width}{hint}"


def _turned_hint(options: Options) -> str:
    other = "note" if options.exif == "apply" else "apply"
    done = "was applied" if options.exif == "apply" else "was not applied"
    return f"the image's EXIF orientation {done} (try --exif {other})"


def _whole_mask(result: Painted, sample: Sample, plan: Plan) -> npt.NDArray[np.uint8]:
    bare_HW = result.labels_HW == UNLABELLED
    if plan.unlabelled is None and bare_HW.any():
        share = 100 * float(bare_HW.mean())
        raise BadInput(
            f"{sample.name}: {share:.1f} % of the pixels have no label. Say what such pixels are: "
            "--unlabelled background (or another class), or --unlabelled ignore"
        )
    filled_HW = np.where(bare_HW, plan.unlabelled if plan.unlabelled is not None else 0, result.labels_HW)
    return filled_HW.astype(np.uint8)
