"""Masks as pictures: palette PNGs, class colours, overlays. Pixels of no class are black where no class nearly is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Task

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]


Color = tuple[int, int, int]
UNLABELLED: tuple[Color, ...] = ((0, 0, 0), (255, 255, 255), (255, 0, 255), (0, 255, 255), (255, 255, 0))
APART = 60  # Euclidean, in RGB: less looks alike in a picture


def distinct_color(task: Task, wanted: Sequence[Color]) -> Color:
    """The first of the wanted colours that is like none of the classes'; the one that is least so where all are."""
    classes_C3 = np.array([entry.color for entry in task.classes], np.int64).reshape(-1, 3)
    nearest = [float(np.sqrt(((classes_C3 - color) ** 2).sum(1)).min(initial=1e3)) for color in wanted]
    return next(
        (color for color, far in zip(wanted, nearest, strict=True) if far >= APART), wanted[int(np.argmax(nearest))]
    )


def palette(task: Task) -> Pixels:
    """The colour of each of the 256 mask values, uint8 [256, 3]; a colour of no class for what is none."""
    colors = np.full((256, 3), distinct_color(task, UNLABELLED), np.uint8)
    colors[: task.num_classes] = [entry.color for entry in task.classes]
    return colors


def palette_image(mask_HW: Pixels, task: Task) -> "Image":
    """A uint8 mask as an image of mode P: its pixels are the class indices, its palette the class colours."""
    from PIL import Image

    image = Image.fromarray(mask_HW)
    # all 256 entries: Pillow packs a shorter palette into fewer bits, and the ignore index would not fit
    image.putpalette(palette(task).tobytes())
    return image


def save_mask(mask_HW: Pixels, task: Task, path: Path) -> None:
    """Writes a mask as a palette PNG that `read_mask` reads back unchanged."""
    palette_image(mask_HW, task).save(path, format="PNG")


def colour_mask(mask_HW: Pixels, task: Task) -> Pixels:
    """A mask in class colours, uint8 [H, W, 3] RGB."""
    return palette(task)[mask_HW]


def overlay(image_HWC: Pixels, mask_HW: Pixels, task: Task, opacity: float = 0.5) -> Pixels:
    """The class colours over the image, uint8 [H, W, 3] RGB; pixels of no class show the image alone."""
    # in 256ths, in place: this is what a folder of images spends most of its writing on
    share = round(256 * opacity)
    mixed_HWC = image_HWC.astype(np.uint16)
    mixed_HWC *= np.uint16(256 - share)
    mixed_HWC += (palette(task).astype(np.uint16) * np.uint16(share) + np.uint16(128))[mask_HW]
    mixed_HWC >>= np.uint16(8)
    painted_HWC = mixed_HWC.astype(np.uint8)
    foreign_HW = mask_HW >= task.num_classes
    painted_HWC[foreign_HW] = image_HWC[foreign_HW]
    return painted_HWC
