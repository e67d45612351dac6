"""The one decoder: the stored values of every mode and depth that it reads, one message for each that it refuses."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.data.decoding import read_image, read_mask, stored_orientation
from hardedge.deploy.media.images import image_faults
from hardedge.errors import BadInput

VALUES = np.arange(48, dtype=np.uint8).reshape(6, 8)


def _grey_png(path: Path, values_HW: np.ndarray, bits: int) -> Path:
    """A greyscale PNG of 1, 2 or 4 bits, written by hand: Pillow writes none of 2 and 4."""
    height, width = values_HW.shape
    shifts = 8 // bits
    padded_HW = np.pad(values_HW, ((0, 0), (0, -width % shifts)))
    packed = sum(padded_HW[:, place::shifts].astype(np.uint8) << (8 - bits * (place + 1)) for place in range(shifts))
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in packed)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_low_bit_greys_are_the_stored_values_in_a_mask_and_a_spread_grey_in_an_image(tmp_path: Path, bits: int) -> None:
    values_HW = VALUES[:, :7] % 2**bits
    path = _grey_png(tmp_path / "grey.png", values_HW, bits)
    np.testing.assert_array_equal(read_mask(path), values_HW)
    np.testing.assert_array_equal(read_image(path)[..., 0], values_HW * (255 // (2**bits - 1)))


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
def test_a_palette_mask_is_its_indices_whatever_its_bits(tmp_path: Path, colours: int) -> None:
    values_HW = (VALUES % min(colours, 48)).astype(np.uint8)
    image = Image.fromarray(values_HW)
    image.putpalette(np.arange(3 * colours, dtype=np.uint8).tobytes())
    image.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "palette.png"), values_HW)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_refused_in_images_and_masks_by_depth(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(VALUES.astype(np.uint16) * 257).save(path)
    with pytest.raises(BadInput, match=r"deep\.\w+: 16 bits per channel \(mode I;16\), expected 8\. Convert it"):
        read_image(path)
    with pytest.raises(BadInput, match=r"deep\.\w+: mode I;16 \(16 bits\), expected an 8-bit PNG"):
        read_mask(path)
    assert image_faults([path], ())[path][0].startswith(f"{path}: 16 bits per channel (mode I;16), expected 8")


def test_sixteen_bits_per_colour_are_refused_although_pillow_keeps_the_upper_byte(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes(6 * 4) for _ in range(3))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    with pytest.raises(BadInput, match="16 bits per channel"):
        read_image(path)


def test_alpha_is_dropped_and_colours_stay(tmp_path: Path) -> None:
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    Image.fromarray(pixels_HWC).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), pixels_HWC[..., :3])
    with pytest.raises(BadInput, match="mode RGBA, expected an 8-bit PNG of class indices"):
        read_mask(tmp_path / "alpha.png")


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_a_lossy_mask_is_refused(tmp_path: Path, format: str) -> None:
    path = tmp_path / "mask.png"
    grey = Image.fromarray(VALUES)
    grey.save(path, format=format)
    with pytest.raises(BadInput, match="stored as JPEG|mode RGB"):
        read_mask(path)


def test_exif_is_not_applied_and_can_be_asked_for(tmp_path: Path) -> None:
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels_HWC).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), pixels_HWC)
    assert stored_orientation(tmp_path / "turned.png") == 6


def test_what_is_no_image_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "empty.png", "absent.png"):
        for read in (read_image, read_mask):
            with pytest.raises(BadInput, match=rf"{name}.*Replace it, or take it out"):
                read(tmp_path / name)
