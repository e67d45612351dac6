"""16-bit PNGs of several channels, of which Pillow keeps the high bytes alone: the class ids are in the low ones."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from hardedge.data.decoding import Pixels
from hardedge.errors import BadInput

GREY_ALPHA, RGB, RGBA = 4, 2, 6  # PNG colour types
HEAD = struct.Struct(">8s4x4s8sBB")  # signature, IHDR, size, bit depth, colour type
LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}


def first_channel(path: Path) -> Pixels:
    """The first channel of a 16-bit PNG of 2 to 4 channels, uint8 [H, W]: values of 256 and more raise BadInput."""
    from PIL import Image

    try:
        content = path.read_bytes()
        _, _, _, depth, color = HEAD.unpack_from(content)
        if depth != 16 or color not in (GREY_ALPHA, RGB, RGBA):
            raise BadInput(f"{path}: PNG of {depth} bits, colour type {color}; expected 16 bits, 2 to 4 channels.")
        if color == GREY_ALPHA:
            return _two_channels(content, path)
        with Image.open(BytesIO(content)) as high, Image.open(BytesIO(content)) as low:
            # Pillow's own unpacker of little-endian samples takes the other byte of each
            low.tile = [(*tile[:3], LOW_BYTES[str(tile[3])]) for tile in low.tile]  # type: ignore[misc]
            return _byte(np.asarray(high)[..., 0], np.asarray(low)[..., 0], path)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise BadInput(f"{path} cannot be read as a mask ({error}). Get the file anew.") from None


def _two_channels(content: bytes, path: Path) -> Pixels:
    """Two samples of 16 bits are, byte for byte and filter for filter, four of 8 bits: only the head differs."""
    from PIL import Image

    head = content[12:24] + bytes((8, RGBA)) + content[26:29]
    with Image.open(BytesIO(content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:])) as image:
        bytes_HWC = np.asarray(image)
    return _byte(bytes_HWC[..., 0], bytes_HWC[..., 1], path)


def _byte(high_HW: Pixels, low_HW: Pixels, path: Path) -> Pixels:
    if high_HW.any():
        raise BadInput(
            f"{path}: first channel up to {int(high_HW.max()) * 256} or more, expected a class id below 256."
        )
    return low_HW
