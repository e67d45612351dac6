"""Run lengths of COCO, CVAT and Label Studio, decoded bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardedge.data.importing.polygons import Flags, Size


def coco_counts(text: str) -> list[int]:
    """The run lengths of COCO's compressed string; raises ValueError where it ends within a number."""
    counts: list[int] = []
    value, shift = 0, 0
    for byte in text.encode("latin-1"):
        code = byte - 48
        if not 0 <= code < 64:
            raise ValueError(f"run lengths have the byte {byte}, which COCO's strings do not use")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        # from the fourth on, each is stored less the one before the last
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("run lengths end within a number")
    return counts


def by_columns(counts: Sequence[int], size: Size) -> Flags:
    """COCO's runs, which go down the columns and begin outside. Raises ValueError unless they fill the size."""
    height, width = size
    return np.ascontiguousarray(_alternating(counts, height * width).reshape(width, height).T)


def by_rows(counts: Sequence[int], size: Size) -> Flags:
    """CVAT's runs, which go along the rows and begin outside. Raises ValueError unless they fill the size."""
    return _alternating(counts, size[0] * size[1]).reshape(size)


def _alternating(counts: Sequence[int], pixels: int) -> Flags:
    if any(count < 0 for count in counts):
        raise ValueError("a run length is negative")
    if sum(counts) != pixels:
        raise ValueError(f"run lengths add up to {sum(counts)}, but there are {pixels} pixels")
    return np.repeat(np.arange(len(counts)) % 2 == 1, np.asarray(counts, np.int64))


def brush(content: Sequence[int], size: Size) -> Flags:
    """Label Studio's brush: packed runs of RGBA bytes, of which the alpha channel is the mask.

    The bits are: the number of values (32), their width less one (5), four run widths less one (4 each); then blocks of
    one bit (1: one value repeated, 0: values one by one), two bits for the run width, the block's length less one.
    Raises ValueError unless they fill the size.
    """
    if not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in content):
        raise ValueError("brush: expected a list of bytes (0-255)")
    values = _unpacked("".join(f"{byte:08b}" for byte in content))
    if len(values) != size[0] * size[1] * 4:
        raise ValueError(f"brush has {len(values)} values, expected 4 for each of {size[0]}x{size[1]} pixels")
    return np.asarray(values.reshape(*size, 4)[..., 3] > 0)


class _Bits:
    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def take(self, width: int) -> int:
        taken = self.text[self.place : self.place + width]
        if len(taken) < width:
            raise ValueError("brush ends within its data")
        self.place += width
        return int(taken, 2)


def _unpacked(text: str) -> np.ndarray:
    bits = _Bits(text)
    count, width = bits.take(32), bits.take(5) + 1
    run_widths = [bits.take(4) + 1 for _ in range(4)]
    if count > 1 << 31:
        raise ValueError(f"brush claims {count} values")
    values = np.zeros(count, np.uint32)
    place = 0
    while place < count:
        repeated = bits.take(1)
        end = min(place + 1 + bits.take(run_widths[bits.take(2)]), count)
        if repeated:
            values[place:end] = bits.take(width)
        else:
            values[place:end] = [bits.take(width) for _ in range(end - place)]
        place = end
    return values
