"""What a network says of one image: the mask, its classes, a picture of it."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hardedge.contracts import ClassInfo, Task
from hardedge.data.decoding import image_pixels, read_image
from hardedge.data.layouts.layout import distinct_colors
from hardedge.data.palette import overlay, save_mask
from hardedge.errors import BadInput
from hardedge.names import visible
from hardedge.paths import StrPath, local_path

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]
MOST_CLASSES = 256  # a mask's values


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One image's result: `mask` is uint8 [H, W] of class indices, at the image's size.

    An engine's manifest has no classes: its segmentation names them by their index (`class 3`).
    """

    image: Pixels
    mask: Pixels
    task: Task

    @property
    def classes(self) -> dict[str, float]:
        """The classes in the mask, each with its share of the pixels in 0..1, the largest first."""
        counts_N = np.bincount(self.mask.ravel(), minlength=MOST_CLASSES)
        found = sorted(np.flatnonzero(counts_N).tolist(), key=lambda index: -counts_N[index])
        return {self._name(index): float(counts_N[index] / self.mask.size) for index in found}

    def overlay(self, opacity: float = 0.5) -> Image:
        """The image with the classes' colours over it, as a PIL image; raises BadInput for an opacity outside 0..1."""
        from PIL.Image import fromarray

        if not 0 <= opacity <= 1:
            raise BadInput(f"opacity {opacity}: expected a share, 0 to 1.")
        return fromarray(overlay(self.image, self.mask, self.task, opacity))

    def save(self, path: StrPath) -> Path:
        """Writes the mask as a palette PNG of class indices; returns its path.

        The overlay is saved by PIL: `segmentation.overlay().save("photo.jpg")`. Raises BadInput for another suffix than
        .png: what compresses with loss alters class indices.
        """
        written = local_path(path)
        if written.suffix.lower() != ".png":
            raise BadInput(f"{written}: a mask is a PNG. Name it {written.with_suffix('.png')}, or save overlay().")
        save_mask(self.mask, self.task, written)
        return written

    def _name(self, index: int) -> str:
        return self.task.classes[index].name if index < self.task.num_classes else f"class {index}"

    def __repr__(self) -> str:
        height, width = self.mask.shape
        found = ", ".join(f"{name} {share:.1%}" for name, share in list(self.classes.items())[:5])
        return f"Segmentation({height}x{width}: {found})"

    def _repr_html_(self) -> str:
        content = io.BytesIO()
        self.overlay().save(content, format="JPEG", quality=90)
        picture = f'<img alt="overlay" src="data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}">'
        rows = "".join(
            f"<tr><td>{escape(visible(name))}</td><td>{share:.1%}</td></tr>" for name, share in self.classes.items()
        )
        return f"{picture}<table>{rows}</table>"


def unnamed_task() -> Task:
    """The classes of a network whose manifest has none: every value of a mask, by its index."""
    colors = distinct_colors(MOST_CLASSES)
    classes = tuple(ClassInfo(name=f"class {index}", color=color) for index, color in enumerate(colors))
    return Task(classes=classes, ignore_index=MOST_CLASSES - 1)


def pixels_of(image: Any) -> Pixels:
    """One image as uint8 [H, W, 3] RGB: an array, a PIL image, or a file's path.

    A file and a PIL image are taken as they are stored: alpha dropped, EXIF not applied. Raises BadInput for anything
    else, for a file that cannot be decoded, and for more than 8 bits a channel.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            found = f"{image.dtype} {list(image.shape)}"
            raise BadInput(f"image: expected uint8 [height, width, 3] in RGB order, got {found}. Convert it.")
        return image
    if isinstance(image, str | os.PathLike):
        return read_image(local_path(image))
    if hasattr(image, "convert") and hasattr(image, "mode"):
        return image_pixels(image)
    raise BadInput(f"image: expected an array, a PIL image or a file's path, got {type(image).__name__}.")
