"""Every test image as a small picture with its masks, which the page's script sorts, filters, colours and enlarges."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from hardedge.contracts import Report, Task
from hardedge.metrics import confusion_counts, mean_iou
from hardedge.pages.markup import Markup, Section, join_markup, note_line, number_text, section, tag

if TYPE_CHECKING:
    from hardedge.data.decoding import Pixels
    from hardedge.deploy.parity.compare import TestImage

TITLE: Final = "All test images"
ABSENT: Final = "No engine was run on the test images."
WIDTHS: Final = {24: 400, 100: 280, 400: 200, 1000: 136}  # px of a picture where there are at most so many images
SMALLEST: Final = 96
BUDGET: Final = 14_000_000  # bytes: of larger galleries the last images are named without a picture
SORTS: Final = {
    "order": "order of the split",
    "wrong": "most pixels wrong",
    "miou": "lowest mIoU",
    "differs": "most pixels unlike the reference's",
    "hardness": "hardest",
}


@dataclass(frozen=True)
class Shot:
    """A test image: its numbers in percent (mIoU None where nothing is labelled), its classes, two data URIs.

    `masks` is a PNG with the label in red and the prediction in green; both are empty beyond the gallery's bytes.
    """

    id: str
    wrong: float
    miou: float | None
    differs: float
    hardness: float | None
    classes: tuple[int, ...]
    picture: str
    masks: str
    size: tuple[int, int]


@dataclass
class Gallery:
    """Takes the test images one after another, as parity runs them."""

    task: Task
    images: int
    shots: list[Shot] = field(default_factory=list)
    bytes: int = 0

    def see(self, item: TestImage, mask_HW: Pixels) -> None:
        """Adds an image with its mask under the first engine."""
        labelled_HW = item.label_HW != self.task.ignore_index
        counts = confusion_counts(mask_HW, item.label_HW, self.task.num_classes, self.task.ignore_index)
        miou = 100 * mean_iou(counts)
        pictures = ("", "")
        if self.bytes < BUDGET:
            pictures = small_pictures(item.image_HWC, item.label_HW, mask_HW, picture_width(self.images))
            self.bytes += sum(map(len, pictures))
        self.shots.append(
            Shot(
                id=item.id,
                wrong=100 * float((mask_HW != item.label_HW)[labelled_HW].sum() / max(1, labelled_HW.sum())),
                miou=None if np.isnan(miou) else miou,
                differs=100 * float((mask_HW != item.reference_HW).mean()),
                hardness=None if item.hardness_HW is None else 100 * float(item.hardness_HW.mean()) / 255,
                classes=tuple(np.flatnonzero(counts.sum(0) + counts.sum(1)).tolist()),
                picture=pictures[0],
                masks=pictures[1],
                size=(item.image_HWC.shape[0], item.image_HWC.shape[1]),
            )
        )


def picture_width(images: int) -> int:
    """How wide a picture may be in a gallery of so many."""
    return next((width for most, width in WIDTHS.items() if images <= most), SMALLEST)


def small_pictures(image_HWC: Pixels, label_HW: Pixels, mask_HW: Pixels, width: int) -> tuple[str, str]:
    """A picture as JPEG and its masks as PNG, at most so wide, as data URIs."""
    from PIL.Image import Resampling, fromarray

    height = max(1, round(image_HWC.shape[0] * width / image_HWC.shape[1]))
    size = (width, height) if image_HWC.shape[1] > width else (image_HWC.shape[1], image_HWC.shape[0])
    picture = fromarray(image_HWC).resize(size, Resampling.BOX)
    masks_HW3 = np.stack((label_HW, mask_HW, np.zeros_like(label_HW)), axis=-1)
    masks = fromarray(masks_HW3).resize(size, Resampling.NEAREST)
    found = []
    for image, kind, options in ((picture, "JPEG", {"quality": 72}), (masks, "PNG", {"optimize": True})):
        file = io.BytesIO()
        image.save(file, format=kind, **options)
        found.append(f"data:image/{kind.lower()};base64,{b64encode(file.getvalue()).decode()}")
    return found[0], found[1]


def gallery_section(report: Report, shots: Sequence[Shot]) -> Section:
    """All images under the first engine that ran; the script adds what sorts, filters and enlarges them."""
    if not shots:
        return section(TITLE, note_line(ABSENT))
    run = report.parity[0]
    said = f"{len(shots)} images under {run.target} {run.precision}. Press one to enlarge it: its address leads to it."
    unseen = sum(not shot.picture for shot in shots)
    more = note_line(f"{unseen} of them have no picture here: the page would be too large.") if unseen else None
    hard = any(shot.hardness is not None for shot in shots)
    colors = [list(info.color) for info in report.task.classes]
    data = {
        "names": [info.name for info in report.task.classes],
        "colors": colors,
        "ignored": report.task.ignore_index,
        "sorts": {kind: name for kind, name in SORTS.items() if kind != "hardness" or hard},
    }
    items = join_markup(shot_item(shot, index) for index, shot in enumerate(shots))
    grid = tag("ul", items, class_="shots", data_gallery=json.dumps(data, separators=(",", ":")))
    return section(TITLE, note_line(said), more, grid)


def shot_item(shot: Shot, index: int) -> Markup:
    """An image with its numbers; without a picture its name alone."""
    height, width = shot.size
    picture = None
    if shot.picture:
        size = {"width": str(width), "height": str(height)}
        picture = tag("img", src=shot.picture, alt=f"Test image {shot.id}", decoding="async", **size)
    numbers = {"wrong": shot.wrong, "miou": shot.miou, "differs": shot.differs, "hardness": shot.hardness}
    given = {f"data_{name}": f"{value:.4f}" for name, value in numbers.items() if value is not None}
    words = tag(
        "span", shot.id, tag("small", f"mIoU {number_text(shot.miou, 1)}, wrong {number_text(shot.wrong, 1, '%')}")
    )
    return tag(
        "li",
        tag("a", tag("span", picture, class_="image"), words, href=f"#image-{shot.id}"),
        id=f"image-{shot.id}",
        data_order=str(index),
        data_classes=" ".join(map(str, shot.classes)),
        data_masks=shot.masks or None,
        **given,
    )
