"""Image and mask files as pixels: the one decoder of every command. Depth, mode and orientation are settled here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hardedge.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# 8 bits per channel; an image of more, squeezed into 8 without its range being known, would be another image
MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
ORIENTATION: Final = 0x0112
LOSSY: Final = ("JPEG", "MPO", "WEBP")
# greys of 1, 2 and 4 bits, which Pillow spreads over 0 to 255: what one step of the stored value became
STEPS: Final = {"L;2": 85, "L;4": 17}
BIT_DEPTHS: Final = {"I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16, "I": 32, "F": 32}


def read_image(path: Path, content: bytes | None = None) -> Pixels:
    """An image file, or such a file's bytes, as uint8 [H, W, 3] RGB, as it is stored: alpha dropped, EXIF not applied.

    Raises BadInput when it cannot be decoded, and for more than 8 bits per channel.
    """
    with decoding(path, "an image"), open_image(path, content) as image:
        return image_pixels(image, str(path))


def image_pixels(image: Image, name: str = "image") -> Pixels:
    """A PIL image as `read_image` gives a file; `name` is what the message calls it."""
    fault = depth_fault(image)
    if fault:
        raise BadInput(f"{name}: {fault}. Convert it to 8 bits, or take it out.")
    return np.asarray(image.convert("RGB"))


def read_mask(path: Path, content: bytes | None = None) -> Pixels:
    """A mask file, or such a file's bytes, as uint8 [H, W] of the values that are stored.

    Raises BadInput unless it is a lossless single-channel image of at most 8 bits.
    """
    return read_mask_and_palette(path, content)[0]


def read_mask_and_palette(path: Path, content: bytes | None = None) -> tuple[Pixels, Pixels | None]:
    """As `read_mask`, with the file's own palette, uint8 [N, 3] RGB; None for greys."""
    with decoding(path, "a mask"), open_image(path, content) as image:
        if image.mode not in ("1", "L", "P"):
            depth = f" ({BIT_DEPTHS[image.mode]} bits)" if image.mode in BIT_DEPTHS else ""
            raise BadInput(f"{path}: mode {image.mode}{depth}, expected an 8-bit PNG of class indices (mode L or P).")
        if image.format in LOSSY:
            raise BadInput(f"{path}: stored as {image.format}, which alters class indices. Write it as a PNG anew.")
        step = STEPS.get(_stored_form(image), 1)
        stored_HW = np.asarray(image)
        if step > 1 or image.mode == "1":
            stored_HW = stored_HW.astype(np.uint8) // np.uint8(step)
        colors = image.getpalette("RGB") if image.mode == "P" else None
        return stored_HW, None if colors is None else np.array(colors, np.uint8).reshape(-1, 3)


def open_image(path: Path, content: bytes | None = None) -> Image:
    """An image file of which the header was read; raises BadInput."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path if content is None else BytesIO(content))
    except UnidentifiedImageError:
        raise BadInput(f"{path}: not an image in a known format. Replace it, or take it out.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as an image ({error}). Replace it, or take it out.") from None


@contextmanager
def decoding(path: Path, kind: str) -> Iterator[None]:
    """Turns what a decoder raises into BadInput; `kind` says what the file should have been."""
    from PIL import Image

    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as {kind} ({error}). Replace it, or take it out.") from None


def depth_fault(image: Image) -> str | None:
    """What is wrong with the depth of an opened image that was not decoded yet; None for 8 bits per channel."""
    if image.mode in BIT_DEPTHS:
        return f"{BIT_DEPTHS[image.mode]} bits per channel (mode {image.mode}), expected 8"
    if image.mode not in MODES:
        return f"mode {image.mode}, expected 8 bits per channel, grey or RGB"
    if ";16" in _stored_form(image):
        return f"16 bits per channel (mode {image.mode}), expected 8"
    return None


def orientation(image: Image) -> int:
    """EXIF's orientation, 1 to 8: other than 1, the stored pixels are not upright. Unreadable EXIF says 1."""
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def stored_orientation(path: Path, content: bytes | None = None) -> int:
    """EXIF's orientation of an image file; 1 where it cannot be read."""
    try:
        with open_image(path, content) as image:
            return orientation(image)
    except BadInput:
        return 1


def _stored_form(image: Image) -> str:
    """How the file holds its samples (RGB;16B, L;4), of an image that was not decoded yet."""
    # a tile ends with its decoder's arguments: the form, alone or as the first
    tiles = getattr(image, "tile", ())  # of opened files, not of Image
    forms = [tile[3] if isinstance(tile[3], str) else next(iter(tile[3] or ()), "") for tile in tiles]
    return str(forms[0]) if forms else ""
