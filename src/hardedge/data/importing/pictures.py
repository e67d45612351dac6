"""Image files on their way into a data set: their size and orientation, copied, linked, or written anew."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from hardedge.contracts import sha256_of
from hardedge.data.decoding import IMAGE_SUFFIXES
from hardedge.data.importing.source import Values
from hardedge.data.splitting.near_duplicates import Fingerprint, fingerprint
from hardedge.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION, DATE_TIME, EXIF_IFD, DATE_TIME_ORIGINAL = 0x0112, 0x0132, 0x8769, 0x9003  # EXIF tags
GREY_STEPS = {"L;2": 85, "L;4": 17}
SUFFIX_OF = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",)}


@dataclass(frozen=True)
class Picture:
    """An image that was stored: its size, the digest of the source's file, and what had to be done to it."""

    size: tuple[int, int]
    stored_size: tuple[int, int]  # as it lies in the file, before an orientation is applied
    sha256: str
    fingerprint: Fingerprint
    taken: datetime | None
    changes: tuple[str, ...]

    @property
    def turned(self) -> bool:
        """Whether the file says that its pixels are to be turned."""
        return any("EXIF" in change for change in self.changes)


def store(
    image: Path | Callable[[], bytes], folder: Path, id: str, exif: Literal["apply", "note"], link: bool
) -> Picture:
    """Puts an image into the folder under its id; raises BadInput where it cannot be decoded.

    A file of another format than JPEG, PNG or BMP, and one whose orientation is applied, is written as PNG.
    """
    from PIL import Image, ImageOps

    content = image if isinstance(image, Path) else image()
    try:
        with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as opened:
            turned = opened.getexif().get(ORIENTATION, 1) not in (0, 1)
            suffix = _suffix(opened.format, content)
            opened.load()
            stored = opened.size[::-1]
            upright = ImageOps.exif_transpose(opened) if turned and exif == "apply" else opened
            known = fingerprint(upright), _taken(opened), _changes(turned, exif, suffix)
            if suffix and upright is opened:
                _put(content, folder / f"{id}{suffix}", link)
            else:
                _plain(upright).save(folder / f"{id}.png")
            return Picture(upright.size[::-1], stored, _digest(content), *known)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"cannot be read as an image ({error}). Replace it.") from None


def _changes(turned: bool, exif: str, suffix: str | None) -> tuple[str, ...]:
    converted = () if suffix else ("stored as PNG: the format of its file is not read",)
    if not turned:
        return converted
    if exif == "apply":
        return ("EXIF orientation applied, stored upright as PNG",)
    return ("EXIF orientation not applied: pixels as they are stored (--exif note)", *converted)


def _suffix(format: str | None, image: Path | bytes) -> str | None:
    """The suffix that the copy gets; None for a format that has to be converted."""
    known = SUFFIX_OF.get(format or "", ())
    named = image.suffix.lower() if isinstance(image, Path) else ""
    if named in known and named in IMAGE_SUFFIXES:
        return named
    return known[0] if known else None


def _plain(image: Image) -> Image:
    """Without metadata, whose orientation would be applied again, and in a mode that a PNG has."""
    plain = image.copy() if image.mode in ("RGB", "L", "RGBA", "P", "1", "LA") else image.convert("RGB")
    plain.info = {key: value for key, value in plain.info.items() if key == "transparency"}
    return plain


def _taken(image: Image) -> datetime | None:
    """When the photograph was taken, by EXIF."""
    exif = image.getexif()
    text = exif.get_ifd(EXIF_IFD).get(DATE_TIME_ORIGINAL) or exif.get(DATE_TIME)
    try:
        return datetime.strptime(str(text).strip("\x00 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _put(image: Path | bytes, out: Path, link: bool) -> None:
    if isinstance(image, bytes):
        out.write_bytes(image)
    elif link:
        out.symlink_to(Path(os.path.abspath(image)))  # noqa: PTH100  # resolve() would follow the user's own links
    else:
        shutil.copyfile(image, out)


def _digest(image: Path | bytes) -> str:
    return hashlib.sha256(image).hexdigest() if isinstance(image, bytes) else sha256_of(image)


def read_indices(path: Path, content: bytes | None = None) -> Values:
    """A label image's class indices, int64 [H, W], of grey, palette, or RGB with three equal channels.

    Values of 1, 2 and 4 bits are taken as they are stored. Raises BadInput for colours and what cannot be decoded.
    """
    with _opened(path, content) as image:
        if image.mode in ("RGB", "RGBA"):
            channels_HWC = np.asarray(image)[..., :3]
            if (channels_HWC != channels_HWC[..., :1]).any():
                raise BadInput("RGB colours, expected class indices. Import it as: hardedge import colors")
            return channels_HWC[..., 0].astype(np.int64)
        if image.mode == "LA":
            return np.asarray(image)[..., 0].astype(np.int64)
        if image.mode not in ("L", "P", "1", "I", "I;16"):
            raise BadInput(f"mode {image.mode}, expected class indices")
        # Pillow stretches greys of few bits over 0-255
        step = GREY_STEPS.get(_raw_mode(image), 1)
        return np.asarray(image).astype(np.int64) // step


def read_colors(path: Path, content: bytes | None = None) -> Values:
    """A label image's colours as 0xRRGGBB, int64 [H, W]; raises BadInput where it cannot be decoded."""
    with _opened(path, content) as image:
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int64), -1, 0)
        packed: Values = red << 16 | green << 8 | blue
        return packed


def _raw_mode(image: Image) -> str:
    """How the file has its pixels, such as L;4; not known any more once they are loaded."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0][3]) if tiles else ""


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image]:
    from PIL import Image

    try:
        with Image.open(path if content is None else BytesIO(content)) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"cannot be read as a mask ({error}). Replace it.") from None


def flags_of(content: bytes) -> npt.NDArray[np.bool_]:
    """An embedded bitmap's pixels, bool [H, W]: where it is opaque, or not 0; raises BadInput."""
    with _opened(Path("bitmap"), content) as image:
        if image.mode in ("RGBA", "LA"):
            return np.asarray(image)[..., -1] > 0
        values = np.asarray(image.convert("L") if image.mode not in ("L", "P", "1", "I", "I;16") else image)
        flags: npt.NDArray[np.bool_] = values > 0
        return flags


def mode_of(path: Path) -> tuple[str, Values] | None:
    """How a label image reads, `colors` or `indices`, and its values; None where it cannot be decoded."""
    try:
        return "indices", read_indices(path)
    except BadInput as error:
        if "RGB colours" not in str(error):
            return None
    return "colors", read_colors(path)
